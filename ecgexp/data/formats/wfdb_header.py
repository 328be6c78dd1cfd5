"""Parse WFDB headers.

Other readers accept any file that begins like a header, ignore bytes that they do not know, and
read a number from a part of a word. A header with one changed byte can therefore become a valid
header of another record. Here every line is matched completely
(https://wfdb.io/spec/header-files.html); fields that the specification makes optional may be
missing.
"""

import codecs
import math
import re
from dataclasses import dataclass
from pathlib import Path

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.leads import numbered
from ecgexp.data.formats.untrusted import check_file_name, damaged, quoted, read_file

NO_FILE = "~"
"""Name of a segment, or of a signal file, without samples."""

_LARGEST = 1 << 20  # bytes; a header of a thousand signals has a tenth of it
_DEFAULT_HZ = 250.0  # WFDB's default for headers without frequency
_NUMBER = r"-?\d{1,10}"
_RECORD = re.compile(
    r"(?P<name>[-\w]+)(?:/(?P<segments>\d+))?[ \t]+(?P<signals>\d{1,4})"
    # The frequency and base value of a counter, and time and date, are not needed.
    r"(?:[ \t]+(?P<fs>\d{1,9}(?:\.\d{0,20})?)(?:/[-.\d]+(?:\([-.\d]+\))?)?"
    r"(?:[ \t]+(?P<length>\d{1,15})(?:[ \t]+[-\d:./ \t]*)?)?)?",
    re.ASCII,
)
_SEGMENT = re.compile(r"(?P<name>[^ \t]+)[ \t]+(?P<length>\d{1,15})", re.ASCII)
# Each field after the format may be missing if the following ones are.
_SIGNAL = re.compile(
    r"(?P<file>[^ \t]+)[ \t]+(?P<fmt>\d{1,4})(?:x(?P<per_frame>\d{1,9}))?(?::(?P<skew>\d{1,9}))?"
    r"(?:\+(?P<offset>\d{1,15}))?"
    r"(?:[ \t]+(?P<gain>-?(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(?:e[+-]?\d{1,3})?)"
    rf"(?:\((?P<baseline>{_NUMBER})\))?(?:/(?P<units>[^ \t()]+))?"
    rf"(?:[ \t]+\d{{1,3}}(?:[ \t]+(?P<zero>{_NUMBER})(?:[ \t]+(?P<first>{_NUMBER})"
    rf"(?:[ \t]+(?P<checksum>{_NUMBER})(?:[ \t]+\d{{1,10}}"
    r"(?:[ \t]+(?P<name>[^ \t][^\t]*))?)?)?)?)?)?)?",
    re.ASCII,
)
_MICRO = str.maketrans("\u00b5\u03bc", "uu")  # the micro sign and the Greek letter


@dataclass(frozen=True, kw_only=True)
class SignalLine:
    """The line of one signal.

    Attributes:
      file_name: Name of its file; `~`: it has none.
      fmt: WFDB format of the file.
      samples_per_frame: Samples in a frame.
      skew: Frames by which the signal is late in its file.
      offset: Where the samples begin in the file.
      gain: Units per physical unit; None if the header states 0 or nothing, which means unknown.
      baseline: Value at 0 in physical units; that of the converter (`zero`) if it is not stated.
      units: Physical unit, mV if it is not stated; microvolts are `uV` in every spelling.
      zero: Value in the middle of the converter's range.
      first: The first sample; None if it is not stated.
      checksum: The sum of all samples modulo 2^16, signed or not; None if it is not stated.
      name: Name of the lead: the description, or `signal 0`, `signal 1`, … without one; several
        signals with one description are `ECG-1`, `ECG-2`, ….
      is_named: Whether the header has a description of the signal.
      is_repeated: Whether another signal has the same description.
    """

    file_name: str
    fmt: str
    samples_per_frame: int
    skew: int
    offset: int
    gain: float | None
    baseline: int
    units: str
    zero: int
    first: int | None
    checksum: int | None
    name: str
    is_named: bool
    is_repeated: bool


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of a record without segments.

    Attributes:
      fs_hz: Frames per second.
      num_frames: Length in frames; None if the header does not state it.
      signals: Its signals.
    """

    fs_hz: float
    num_frames: int | None
    signals: tuple[SignalLine, ...]


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
    files = dict.fromkeys(signal["file"] for signal in _matched(path, database)[1])
    return tuple(name for name in files if name != NO_FILE)


def read_header(path: Path, database: Database) -> Header:
    """Parse the header of a record without segments.

    Args:
      path: The `.hea` file.
      database: Gives the remedy.

    Returns:
      The values of its lines.

    Raises:
      DataError: The file is missing, not a header, or a header of several segments.
    """
    record, signals = _matched(path, database)
    described = [signal["name"] or f"signal {number}" for number, signal in enumerate(signals)]
    names = numbered(described)
    return Header(
        fs_hz=float(record["fs"] or _DEFAULT_HZ),
        num_frames=None if record["length"] is None else int(record["length"]),
        signals=tuple(
            _signal_of(signal, name, is_repeated=name != plain)
            for signal, name, plain in zip(signals, names, described, strict=True)
        ),
    )


def _signal_of(signal: re.Match[str], name: str, *, is_repeated: bool) -> SignalLine:
    zero = int(signal["zero"] or 0)
    return SignalLine(
        file_name=signal["file"],
        fmt=signal["fmt"],
        samples_per_frame=int(signal["per_frame"] or 1),
        skew=int(signal["skew"] or 0),
        offset=int(signal["offset"] or 0),
        gain=float(signal["gain"] or 0) or None,
        baseline=int(signal["baseline"] or zero),
        units=(signal["units"] or "mV").translate(_MICRO),
        zero=zero,
        first=None if signal["first"] is None else int(signal["first"]),
        checksum=None if signal["checksum"] is None else int(signal["checksum"]),
        name=name,
        is_named=signal["name"] is not None,
        is_repeated=is_repeated,
    )


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
        if name != NO_FILE:
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
    plain = [_decoded(line) for line in lines if line and not line.startswith(b"#")]
    if strange := [line for line in plain if not line.replace("\t", " ").isprintable()]:
        raise damaged(
            path, f"is not a WFDB header: {quoted(strange[0])} has control characters", database
        )
    comments = (
        line.decode("ascii", "ignore").strip(" \t#") for line in lines if line.startswith(b"#")
    )
    return plain, tuple(comments)


def _decoded(line: bytes) -> str:
    """Decode a line: units such as µV or °C and names of leads need not be ASCII."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _signal(path: Path, line: str, database: Database) -> re.Match[str]:
    found = _SIGNAL.fullmatch(line)
    if found is None:
        raise damaged(
            path,
            f"is not a WFDB header: {quoted(line)} does not describe a signal",
            database,
        )
    if found["file"] != NO_FILE:
        check_file_name(path, found["file"], database)
    if not abs(float(found["gain"] or 0)) < math.inf:
        raise damaged(path, f"states the gain {found['gain']}", database)
    if not int(found["per_frame"] or 1):
        raise damaged(path, f"states 0 samples per frame: {quoted(line)}", database)
    return found
