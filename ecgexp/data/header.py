"""Stands before `wfdb.rdheader` and lets through only what is a WFDB header in every word.

wfdb takes whatever begins like a header, leaves out the bytes it does not know, and finds a number in half a word: a header
with one byte changed may so become a valid one of another record. Here every line is matched whole
(https://wfdb.io/spec/header-files.html); then wfdb reads it, and must have read the same.
"""

import math
import re
from pathlib import Path
from typing import Any

from ecgexp.data.catalog import Database
from ecgexp.data.untrusted import check_file_name, damaged, quoted, read_file

_LARGEST = 1 << 20  # bytes; a header with a line for each of a thousand signals has a tenth
_NUMBER = r"-?\d{1,10}"
_RECORD = re.compile(
    r"(?P<name>[-\w]+)(?P<segments>/\d+)?[ \t]+(?P<signals>\d{1,4})"
    r"(?:[ \t]+(?P<fs>\d{1,9}(?:\.\d{0,12})?)(?:/[-.\d]+(?:\([-.\d]+\))?)?"  # a counter's frequency and base, not needed
    r"(?:[ \t]+(?P<length>\d{1,15})(?:[ \t]+[^\t]*)?)?)?",  # time and date, not needed
    re.ASCII,
)
_SIGNAL = re.compile(
    r"(?P<file>[^ \t]+)[ \t]+(?P<fmt>\d{1,4})(?:x(?P<per_frame>\d{1,9}))?(?::(?P<skew>\d{1,9}))?(?:\+(?P<offset>\d{1,15}))?"
    r"[ \t]+(?P<gain>-?\d{1,20}(?:\.\d{0,20})?(?:e[+-]?\d{1,3})?)"
    rf"(?:\((?P<baseline>{_NUMBER})\))?(?:/(?P<units>[^ \t]+))?"
    rf"[ \t]+\d{{1,3}}[ \t]+(?P<zero>{_NUMBER})[ \t]+(?P<first>{_NUMBER})[ \t]+(?P<checksum>{_NUMBER})[ \t]+\d{{1,10}}"
    r"(?:[ \t]+(?P<name>[^ \t][^\t]*))?",
    re.ASCII,
)
# What wfdb must have read of a signal, by its name for it; the rest does not reach a beat.
_FIELDS = ("file_name", "fmt", "byte_offset", "adc_gain", "baseline", "units", "init_value", "checksum", "sig_name")


def read_header(path: Path, database: Database) -> Any:
    """Reads a header whose signals can be checked: with a length, first values, checksums, and named leads.

    Args:
      path: the `.hea` file.
      database: for the remedy.

    Returns:
      wfdb's `Record` without signals; an `adc_gain` is None where the header says 0, which stands for "not known".

    Raises:
      DataError: it is not there, is no header, is one of several segments, or leaves out what is needed.
    """
    record, signals = _matched(path, database)
    rows = [_fields(signal) for signal in signals]
    import wfdb

    try:
        header = wfdb.rdheader(str(path.with_suffix("")))
    except (ValueError, OverflowError) as error:  # a time or a date that is none
        raise damaged(path, f"is not a WFDB header ({quoted(str(error))})", database) from error
    read = [[getattr(header, field, None) for field in ("n_sig", "sig_len", "fs")]]
    meant = [[len(rows), int(record["length"]), float(record["fs"])]]
    read += [list(row) for row in zip(*(getattr(header, field) for field in _FIELDS), strict=True)]
    for words, numbers in zip(meant + rows, read, strict=True):
        if words != numbers:
            raise damaged(
                path, f"is not a WFDB header: {quoted(str(words))} can be read as {quoted(str(numbers))}", database
            )
    header.adc_gain = [
        None if float(signal["gain"]) == 0 else gain for signal, gain in zip(signals, header.adc_gain, strict=True)
    ]
    return header


def _matched(path: Path, database: Database) -> tuple[re.Match[str], list[re.Match[str]]]:
    """The line of the record and those of its signals."""
    lines = _lines(path, database)
    record = _RECORD.fullmatch(lines[0]) if lines else None
    if record is None:
        raise damaged(path, f"is not a WFDB header: it begins with {quoted(lines[0] if lines else '')}", database)
    if record["segments"] is not None:
        raise damaged(path, "is the header of a record in several segments, which is not read", database)
    if record["name"] != path.stem:
        raise damaged(path, f"is the header of record {quoted(record['name'])}", database)
    if not int(record["signals"]) or not int(record["length"] or 0):
        raise damaged(path, "names no signals or no length", database)
    if not float(record["fs"]) > 0:
        raise damaged(path, f"says {record['fs']} Hz", database)
    if len(lines) - 1 != int(record["signals"]):
        raise damaged(path, f"claims {int(record['signals'])} signals and describes {len(lines) - 1}", database)
    return record, [_signal(path, line, database) for line in lines[1:]]


def _lines(path: Path, database: Database) -> list[str]:
    """The lines that are none of the comments."""
    content = read_file(path, database, largest=_LARGEST).replace(b"\r\n", b"\n")
    if odd := re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", content):
        raise damaged(path, f"is not a WFDB header: it holds the byte {odd[0][0]:#04x}", database)
    lines = [line.strip(b" \t") for line in content.split(b"\n")]
    said = [line for line in lines if line and not line.startswith(b"#")]
    if strange := [line for line in said if not line.isascii()]:
        raise damaged(path, f"is not a WFDB header: {quoted(strange[0].decode('latin-1'))} is not ASCII", database)
    return [line.decode("ascii") for line in said]


def _signal(path: Path, line: str, database: Database) -> re.Match[str]:
    found = _SIGNAL.fullmatch(line)
    if found is None:
        raise damaged(
            path, f"is not a WFDB header: {quoted(line)} does not describe a signal to its checksum", database
        )
    check_file_name(path, found["file"], database)
    if found["name"] is None:
        raise damaged(path, f"does not name its leads: {quoted(line)}", database)
    if int(found["per_frame"] or 1) != 1 or int(found["skew"] or 0):
        raise damaged(
            path, f"has several samples a frame, or skewed signals, which are not read: {quoted(line)}", database
        )
    if not 0 <= float(found["gain"]) < math.inf:
        raise damaged(path, f"gives the gain {found['gain']}", database)
    return found


def _fields(signal: re.Match[str]) -> list[Any]:
    """What the words of a line mean, in the order of `_FIELDS` and with the values that wfdb puts where nothing is said."""
    return [
        signal["file"], signal["fmt"], int(signal["offset"]) if signal["offset"] else None, float(signal["gain"]) or 200.0,
        int(signal["baseline"] or signal["zero"]), signal["units"] or "mV", int(signal["first"]), int(signal["checksum"]),
        signal["name"],
    ]  # fmt: skip
