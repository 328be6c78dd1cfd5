"""Parse headers of EDF, EDF+ and BDF (https://www.edfplus.info/specs).

**Guarantees**: The fields that name the patient, the recording and its date are not parsed: no
value of this module contains a byte of them (`tests/unit/data/test_edf_reader.py`).
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.leads import numbered
from ecgexp.data.formats.untrusted import damaged, quoted

NO_COUNT = "header without the number of data records, taken from the size of the file"

_MOST_SIGNALS = 4096
_WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
_LABEL, _DIMENSION, _PHYSICAL_MIN, _PHYSICAL_MAX = 0, 2, 3, 4
_DIGITAL_MIN, _DIGITAL_MAX, _NUM_SAMPLES = 5, 6, 8
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_COUNT = re.compile(r"-?\d{1,8}", re.ASCII)
_VERSIONS = {b"0       ": 2, b"\xffBIOSEMI": 3}
_MICRO = str.maketrans("\u00b5\u03bc", "uu")


@dataclass(frozen=True, kw_only=True)
class EdfSignal:
    """One signal.

    Attributes:
      name: Its label, or `label-1`, `label-2`, … for several signals with one label.
      is_repeated: Whether another signal has its label.
      is_annotations: Whether it has annotations instead of samples.
      units: Physical dimension; microvolts are `uV` in every spelling.
      physical: Physical values of the digital ones.
      digital: Lowest and highest digital value.
      num_samples: Samples in a data record.
      begin: Its first byte in a data record.
    """

    name: str
    is_repeated: bool
    is_annotations: bool
    units: str
    physical: tuple[float, float]
    digital: tuple[int, int]
    num_samples: int
    begin: int


@dataclass(frozen=True, kw_only=True)
class EdfHeader:
    """A header, without patient, recording and date.

    Attributes:
      sample_bytes: 2 for EDF, 3 for BDF.
      kind: `plain` for EDF and BDF, `continuous` for EDF+C, `discontinuous` for EDF+D.
      num_bytes: Size of the header.
      num_records: Number of data records.
      is_counted: Whether the header states it.
      record_s: Duration of a data record in seconds.
      record_bytes: Size of a data record.
      signals: The signals, those with annotations included.
    """

    sample_bytes: int
    kind: Literal["plain", "continuous", "discontinuous"]
    num_bytes: int
    num_records: int
    is_counted: bool
    record_s: float
    record_bytes: int
    signals: tuple[EdfSignal, ...]


def read_edf_header(path: Path, database: Database) -> EdfHeader:
    """Parse a header and compare it with the size of the file.

    Args:
      path: The file.
      database: Gives the remedy.

    Returns:
      The header.

    Raises:
      DataError: The file is missing, is not EDF or BDF, or has another size than its header states.
    """
    try:
        if not path.is_file():
            raise damaged(path, "is not a file" if path.exists() else "is missing", database)
        size = path.stat().st_size
        with path.open("rb") as file:
            return _parse(path, file.read(256 * (_MOST_SIGNALS + 1)), size, database)
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror})", database) from error


def _parse(path: Path, content: bytes, size: int, database: Database) -> EdfHeader:
    sample_bytes = _VERSIONS.get(content[:8])
    if sample_bytes is None or len(content) < 256:
        raise damaged(path, "is not an EDF or BDF file", database)
    # Bytes 8 to 184 are patient, recording, date and time.
    num_signals = _count(path, content[252:256], "number of signals", database)
    num_bytes = _count(path, content[184:192], "size of the header", database)
    if not 0 < num_signals <= _MOST_SIGNALS or num_bytes != 256 * (num_signals + 1):
        raise damaged(
            path, f"states {num_signals} signals and a header of {num_bytes} bytes", database
        )
    if len(content) < num_bytes:
        raise damaged(path, f"is truncated: it has {size} bytes, less than its header", database)
    signals, record_bytes = _signals(path, content, num_signals, sample_bytes, database)
    record_s = _number(path, content[244:252], "duration of a data record", database)
    if not record_s > 0:
        raise damaged(path, f"states data records of {record_s:g} s", database)
    stated = _count(path, content[236:244], "number of data records", database)
    found, rest = divmod(size - num_bytes, record_bytes)
    if stated == -1:
        stated, rest = found, 0  # the recording was not ended; its last record may be incomplete
        is_counted = False
    else:
        is_counted = True
    if stated < 1 or (found, rest) != (stated, 0):
        expected = num_bytes + max(stated, 1) * record_bytes
        raise damaged(path, f"has {size} bytes, but its header states {expected}", database)
    return EdfHeader(
        sample_bytes=sample_bytes,
        kind=_kind(content[192:236]),
        num_bytes=num_bytes,
        num_records=stated,
        is_counted=is_counted,
        record_s=record_s,
        record_bytes=record_bytes,
        signals=signals,
    )


def _kind(reserved: bytes) -> Literal["plain", "continuous", "discontinuous"]:
    if reserved[:5] in (b"EDF+D", b"BDF+D"):
        return "discontinuous"
    return "continuous" if reserved[:5] in (b"EDF+C", b"BDF+C") else "plain"


def _signals(
    path: Path, content: bytes, num_signals: int, sample_bytes: int, database: Database
) -> tuple[tuple[EdfSignal, ...], int]:
    """Return the signals and the size of a data record."""
    columns, place = [], 256
    for width in _WIDTHS:
        end = place + width * num_signals
        columns.append([content[at : at + width] for at in range(place, end, width)])
        place = end
    labels = [_text(field) for field in columns[_LABEL]]
    if strange := [label for label in labels if not label.isprintable()]:
        raise damaged(path, f"names a signal {quoted(strange[0])}", database)
    names = numbered([label or f"signal {number}" for number, label in enumerate(labels)])
    signals, begin = [], 0
    for number, (label, name) in enumerate(zip(labels, names, strict=True)):
        num_samples = _count(path, columns[_NUM_SAMPLES][number], f"samples of {name}", database)
        if num_samples < 0:
            raise damaged(path, f"states {num_samples} samples of signal {name}", database)
        is_annotations = label in ("EDF Annotations", "BDF Annotations")

        def limits(low: int, high: int, what: str, row: int = number, of: str = name):
            return tuple(
                _number(path, columns[each][row], f"{what} of {of}", database)
                for each in (low, high)
            )

        physical = (0.0, 1.0)
        digital = (0.0, 1.0)
        if not is_annotations:
            physical = limits(_PHYSICAL_MIN, _PHYSICAL_MAX, "physical range")
            digital = limits(_DIGITAL_MIN, _DIGITAL_MAX, "digital range")
        signals.append(
            EdfSignal(
                name=name,
                is_repeated=name != label,
                is_annotations=is_annotations,
                units=_text(columns[_DIMENSION][number]).translate(_MICRO),
                physical=(physical[0], physical[1]),
                digital=(int(digital[0]), int(digital[1])),
                num_samples=num_samples,
                begin=begin,
            )
        )
        begin += num_samples * sample_bytes
    if not begin:
        raise damaged(path, "states no samples", database)
    return tuple(signals), begin


def _text(field: bytes) -> str:
    """Return the text of a field; the specification allows ASCII only, and writers use `µ`."""
    field = field.rstrip(b"\0 ").lstrip(b" ")
    try:
        return field.decode("utf-8")
    except UnicodeDecodeError:
        return field.decode("latin-1")


def _number(path: Path, field: bytes, what: str, database: Database) -> float:
    text = _text(field)
    if not _NUMBER.fullmatch(text):
        raise damaged(path, f"states the {what} as {quoted(text)}, not as a number", database)
    return float(text)


def _count(path: Path, field: bytes, what: str, database: Database) -> int:
    text = _text(field)
    if not _COUNT.fullmatch(text):
        raise damaged(path, f"states the {what} as {quoted(text)}, not as a number", database)
    return int(text)
