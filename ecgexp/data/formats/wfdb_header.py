"""Validate WFDB headers before `wfdb.rdheader` reads them.

wfdb accepts any file that begins like a header, ignores bytes that it does not know, and reads a
number from a part of a word. A header with one changed byte can therefore become a valid header of
another record. Here every line is matched completely (https://wfdb.io/spec/header-files.html); then
wfdb reads the file and must find the same values.
"""

import codecs
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.untrusted import check_file_name, damaged, quoted, read_file

if TYPE_CHECKING:
    import wfdb

_LARGEST = 1 << 20  # bytes; a header of a thousand signals has a tenth of it
_DEFAULT_HZ = 250.0  # WFDB's default for headers without frequency
_NUMBER = r"-?\d{1,10}"
_RECORD = re.compile(
    r"(?P<name>[-\w]+)(?:/(?P<segments>\d+))?[ \t]+(?P<signals>\d{1,4})"
    # The frequency and base value of a counter, and time and date, are not needed.
    r"(?:[ \t]+(?P<fs>\d{1,9}(?:\.\d{0,12})?)(?:/[-.\d]+(?:\([-.\d]+\))?)?"
    r"(?:[ \t]+(?P<length>\d{1,15})(?:[ \t]+[^\t]*)?)?)?",
    re.ASCII,
)
_SEGMENT = re.compile(r"(?P<name>[^ \t]+)[ \t]+(?P<length>\d{1,15})", re.ASCII)
_SIGNAL = re.compile(
    r"(?P<file>[^ \t]+)[ \t]+(?P<fmt>\d{1,4})(?:x(?P<per_frame>\d{1,9}))?(?::(?P<skew>\d{1,9}))?"
    r"(?:\+(?P<offset>\d{1,15}))?"
    r"[ \t]+(?P<gain>-?\d{1,20}(?:\.\d{0,20})?(?:e[+-]?\d{1,3})?)"
    rf"(?:\((?P<baseline>{_NUMBER})\))?(?:/(?P<units>[^ \t]+))?"
    rf"[ \t]+\d{{1,3}}[ \t]+(?P<zero>{_NUMBER})[ \t]+(?P<first>{_NUMBER})"
    rf"[ \t]+(?P<checksum>{_NUMBER})[ \t]+\d{{1,10}}"
    r"(?:[ \t]+(?P<name>[^ \t][^\t]*))?",
    re.ASCII,
)
# Units that are not ASCII, such as µV or °C. wfdb ignores other characters and would read µV as V.
_STRANGE_UNITS = re.compile(rb"(?<=[0-9.)]/)[^ \t]*[\x80-\xff][^ \t]*")
_MICRO = "\u00b5\u03bc"  # the micro sign and the Greek letter
# Fields of wfdb's header that are compared; the others do not affect beats.
_FIELDS = (
    "file_name",
    "fmt",
    "byte_offset",
    "samps_per_frame",
    "skew",
    "adc_gain",
    "baseline",
    "init_value",
    "checksum",
    "sig_name",
)


@dataclass(frozen=True, kw_only=True)
class RecordLine:
    """The record line of a header.

    Attributes:
      fs_hz: Frames per second; annotations are counted in frames.
      num_frames: Length of the record; None if the header does not state it, and the size of the
        files determines it.
      num_signals: Number of signals.
      segments: Name and number of frames of each segment, `~` for a null segment (without samples);
        empty for a record without segments.
      comments: The comment lines.
    """

    fs_hz: float
    num_frames: int | None
    num_signals: int
    segments: tuple[tuple[str, int], ...]
    comments: tuple[str, ...]


def read_record_line(path: Path, database: Database) -> RecordLine:
    """Read the record line of a header without wfdb; the lines of the signals are not checked.

    Args:
      path: The `.hea` file.
      database: Gives the remedy.

    Returns:
      The values of the line.

    Raises:
      DataError: The file is missing or not a header, or lists a segment twice.
    """
    lines, comments = _lines(path, database)
    record = _matched_record(path, lines, database)
    segments = (
        _segments(path, record, lines[1:], database) if record["segments"] is not None else ()
    )
    return RecordLine(
        fs_hz=float(record["fs"] or _DEFAULT_HZ),
        num_frames=int(record["length"] or 0) or None,
        num_signals=int(record["signals"]),
        segments=segments,
        comments=comments,
    )


def signal_files(path: Path, database: Database) -> tuple[str, ...]:
    """Return the names of the signal files of a record without segments, each once.

    Args:
      path: The `.hea` file.
      database: Gives the remedy.

    Returns:
      File names, in the order of the signals.

    Raises:
      DataError: As for `read_header`.
    """
    return tuple(dict.fromkeys(signal["file"] for signal in _matched(path, database)[1]))


def read_header(path: Path, database: Database) -> "wfdb.Record":
    """Read a header that has the initial value, checksum and lead name of every signal.

    Args:
      path: The `.hea` file.
      database: Gives the remedy.

    Returns:
      wfdb's `Record` without signals. `adc_gain` is None if the header states 0, which means
      unknown; `sig_len` is None if the header does not state the length; microvolts are `uV` in
      every spelling.

    Raises:
      DataError: The file is missing, not a header or a header of several segments, or lacks a
        field that is needed.
    """
    record, signals = _matched(path, database)
    rows = [_fields(signal) for signal in signals]
    import wfdb

    try:
        header = wfdb.rdheader(str(path.with_suffix("")))
    except (ValueError, OverflowError) as error:  # an invalid time or date
        raise damaged(path, f"is not a WFDB header ({quoted(str(error))})", database) from error
    length = None if record["length"] is None else int(record["length"])
    read = [[getattr(header, field, None) for field in ("n_sig", "sig_len", "fs")]]
    meant = [[len(rows), length, float(record["fs"] or _DEFAULT_HZ)]]
    read += [list(row) for row in zip(*(getattr(header, field) for field in _FIELDS), strict=True)]
    for words, numbers in zip(meant + rows, read, strict=True):
        if words != numbers:
            raise damaged(
                path,
                f"is not a WFDB header: wfdb reads {quoted(str(words))} as {quoted(str(numbers))}",
                database,
            )
    header.units = [signal["units"] or "mV" for signal in signals]
    header.adc_gain = [
        None if float(signal["gain"]) == 0 else gain
        for signal, gain in zip(signals, header.adc_gain, strict=True)
    ]
    return header


def _matched_record(path: Path, lines: list[str], database: Database) -> re.Match[str]:
    record = _RECORD.fullmatch(lines[0]) if lines else None
    if record is None:
        raise damaged(
            path,
            f"is not a WFDB header: it begins with {quoted(lines[0] if lines else '')}",
            database,
        )
    if record["name"] != path.stem:
        raise damaged(path, f"is the header of record {quoted(record['name'])}", database)
    if not int(record["signals"]):
        raise damaged(path, "names no signals", database)
    if record["segments"] is None and record["length"] is not None and not int(record["length"]):
        raise damaged(path, "states a length of 0 samples", database)
    if not float(record["fs"] or _DEFAULT_HZ) > 0:
        raise damaged(path, f"states {record['fs']} Hz", database)
    return record


def _matched(path: Path, database: Database) -> tuple[re.Match[str], list[re.Match[str]]]:
    """Match the record line and the lines of its signals."""
    lines, _ = _lines(path, database)
    record = _matched_record(path, lines, database)
    if record["segments"] is not None:
        raise damaged(
            path, "is a header of several segments, but one of a single segment is needed", database
        )
    if len(lines) - 1 != int(record["signals"]):
        raise damaged(
            path,
            f"states {int(record['signals'])} signals, but describes {len(lines) - 1}",
            database,
        )
    return record, [_signal(path, line, database) for line in lines[1:]]


def _segments(
    path: Path, record: re.Match[str], lines: list[str], database: Database
) -> tuple[tuple[str, int], ...]:
    """Return name and length of each segment; one that is listed twice would duplicate beats."""
    if len(lines) != int(record["segments"]) or not lines:
        raise damaged(
            path, f"states {int(record['segments'])} segments, but lists {len(lines)}", database
        )
    found: list[tuple[str, int]] = []
    places: dict[str, int] = {}
    for place, line in enumerate(lines, start=1):
        segment = _SEGMENT.fullmatch(line)
        if segment is None:
            raise damaged(
                path,
                f"is not a WFDB header: {quoted(line)} does not name a segment and its length",
                database,
            )
        name = segment["name"]
        if name != "~":
            check_file_name(path, name, database)
            if name in places:
                raise damaged(
                    path,
                    f"lists segment {name} twice, as numbers {places[name]} and {place}",
                    database,
                )
            if name == path.stem:
                raise damaged(path, "lists itself as a segment", database)
            places[name] = place
        found.append((name, int(segment["length"])))
    total = sum(length for _, length in found)
    if int(record["length"] or 0) not in (0, total):
        raise damaged(
            path, f"states {record['length']} samples, but its segments have {total}", database
        )
    return tuple(found)


def _lines(path: Path, database: Database) -> tuple[list[str], tuple[str, ...]]:
    """Return the lines that are not comments, and the comments as wfdb returns them."""
    content = (
        read_file(path, database, largest=_LARGEST)
        .removeprefix(codecs.BOM_UTF8)
        .replace(b"\r\n", b"\n")
    )
    if odd := re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", content):
        raise damaged(path, f"is not a WFDB header: it has the byte {odd[0][0]:#04x}", database)
    lines = [line.strip(b" \t") for line in content.split(b"\n")]
    plain = [
        _STRANGE_UNITS.sub(_in_ascii, line, count=1)
        for line in lines
        if line and not line.startswith(b"#")
    ]
    if strange := [line for line in plain if not line.isascii()]:
        raise damaged(
            path,
            f"is not a WFDB header: {quoted(strange[0].decode('latin-1'))} is not ASCII",
            database,
        )
    comments = (
        line.decode("ascii", "ignore").strip(" \t#") for line in lines if line.startswith(b"#")
    )
    return [line.decode("ascii") for line in plain], tuple(comments)


def _in_ascii(units: re.Match[bytes]) -> bytes:
    """Replace micro by `u`, as WFDB writes it, and any other character by a question mark."""
    try:
        text = units[0].decode("utf-8")
    except UnicodeDecodeError:
        text = units[0].decode("latin-1")
    return re.sub(rf"[{_MICRO}]", "u", text).encode("ascii", "replace")


def _signal(path: Path, line: str, database: Database) -> re.Match[str]:
    found = _SIGNAL.fullmatch(line)
    if found is None:
        raise damaged(
            path,
            f"is not a WFDB header: {quoted(line)} does not describe a signal with its checksum",
            database,
        )
    check_file_name(path, found["file"], database)
    if found["name"] is None:
        raise damaged(path, f"does not name its leads: {quoted(line)}", database)
    if not abs(float(found["gain"])) < math.inf:
        raise damaged(path, f"states the gain {found['gain']}", database)
    if not int(found["per_frame"] or 1):
        raise damaged(path, f"states 0 samples per frame: {quoted(line)}", database)
    return found


def _fields(signal: re.Match[str]) -> list[Any]:
    """Return the values of a line, in the order of `_FIELDS` and with wfdb's default values."""
    return [
        signal["file"],
        signal["fmt"],
        int(signal["offset"]) if signal["offset"] else None,
        int(signal["per_frame"] or 1),
        int(signal["skew"]) if signal["skew"] else None,
        float(signal["gain"]) or 200.0,
        int(signal["baseline"] or signal["zero"]),
        int(signal["first"]),
        int(signal["checksum"]),
        signal["name"],
    ]
