"""A second reader of records: slow, strict, and without code of the readers that are tested.

It is written from WFDB's specification (https://wfdb.io/spec), for the fields that the readers
check. It returns None for everything that is not clearly valid. With it, the fuzzer distinguishes a
reader that returns wrong beats from files that hold other beats, which no reader can notice:
annotations, gains and names of leads have no checksum.
"""

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from ecgexp.data.datasets.catalog import Database

SYMBOLS = {
    1: "N",
    2: "L",
    3: "R",
    4: "a",
    5: "V",
    6: "F",
    7: "J",
    8: "A",
    9: "S",
    10: "E",
    11: "j",
    12: "/",
    13: "Q",
    14: "~",
    16: "|",
    18: "s",
    19: "T",
    20: "*",
    21: "D",
    22: '"',
    23: "=",
    24: "p",
    25: "B",
    26: "^",
    27: "t",
    28: "+",
    29: "u",
    30: "?",
    31: "!",
    32: "[",
    33: "]",
    34: "e",
    35: "n",
    36: "@",
    37: "x",
    38: "f",
    39: "(",
    40: ")",
    41: "r",
}
BEATS = set("NLRBAaJSVrFejnE/fQ?")
HIGHEST_MV = 1000.0


@dataclass(frozen=True, kw_only=True)
class Plain:
    """One record: beats as (sample, symbol), leads as name -> millivolts."""

    patient: str
    fs_hz: float
    lead_names: tuple[str, ...]
    signals_mv: list[list[float]]
    beats: list[tuple[int, str]]


class _NotPlain(Exception):
    pass


def read_wfdb(
    files: Mapping[str, object], record_id: str, database: Database, *, alone: bool
) -> Plain | None:
    """Reads a record; returns None if its files are not clearly valid.

    Args:
      files: file name -> bytes.
      record_id: name of the record.
      database: provides the gain if that in the header is 0, the patient, and the frequency unless
        `alone`.
      alone: whether the record is read by its path, without further knowledge of it.
    """
    try:
        return _read_wfdb(files, record_id, database, alone)
    except (_NotPlain, ValueError, IndexError, KeyError, OverflowError, TypeError):
        return None


def _read_wfdb(
    files: Mapping[str, object], record_id: str, database: Database, alone: bool
) -> Plain:
    lines, comments = _header_lines(files[f"{record_id}.hea"])
    words = lines[0].split()
    _need(words[0] == record_id)
    count, fs_hz = _whole(words[1]), float(words[2].partition("/")[0]) if len(words) > 2 else 250.0
    length = _whole(words[3]) if len(words) > 3 else None
    _need(count == len(lines) - 1 and count > 0 and length != 0 and 0 < fs_hz < math.inf)
    _need(alone or fs_hz == database.fs_hz)
    rows = [line.split(maxsplit=8) for line in lines[1:]]
    _need(all(len(fields) == 9 for fields in rows))
    signals: dict[int, list[float]] = {}
    names = [fields[8].strip() for fields in rows]
    for name in {fields[0] for fields in rows}:
        channels = [number for number, fields in enumerate(rows) if fields[0] == name]
        fmt, _, offset = rows[channels[0]][1].partition("+")
        _need(len({rows[number][1] for number in channels}) == 1)
        content = files[name][_whole(offset or "0") :]
        if length is None:
            length = len(content) * 8 // BITS[fmt] // len(channels)
        flat, invalid = _decode(content, fmt, length * len(channels))
        for position, number in enumerate(channels):
            digital, fields = flat[position :: len(channels)], rows[number]
            _need(digital[0] == int(fields[5]) and (sum(digital) - int(fields[6])) % 65536 == 0)
            scale = _scale(fields, None if alone else database.adc_gain)
            if scale is None or invalid in digital or names.count(names[number]) > 1:
                continue
            gain, baseline, unit = scale
            lead = [(value - baseline) / gain * unit for value in digital]
            if all(abs(value) < HIGHEST_MV for value in lead):
                signals[number] = lead
    _need(signals)
    beats = [
        (sample, SYMBOLS[code])
        for sample, code in _annotations(files[f"{record_id}.atr"], fs_hz)
        if code in SYMBOLS
    ]
    beats = [beat for beat in beats if beat[1] in BEATS and 0 <= beat[0] < length]
    patient = record_id if alone else _patient(record_id, comments, database)
    usable = sorted(signals)
    return _checked(
        patient,
        fs_hz,
        [names[number] for number in usable],
        [signals[number] for number in usable],
        beats,
    )


def _header_lines(content: object) -> tuple[list[str], list[str]]:
    lines, comments = [], []
    for raw in bytes(content).replace(b"\r\n", b"\n").split(b"\n"):  # type: ignore[call-overload]
        line = raw.strip(b" \t")
        if line.startswith(b"#"):
            _need(not any(byte < 32 and byte != 9 or byte == 127 for byte in line))
            comments.append(line.decode("ascii", "ignore"))
        elif line:
            _need(all(32 <= byte < 127 or byte == 9 for byte in line))
            lines.append(line.decode("ascii"))
    return lines, comments


def _scale(fields: list[str], default_gain: float | None) -> tuple[float, int, float] | None:
    """Returns gain, baseline and millivolts per unit; None for another unit or without a gain."""
    value, _, unit = fields[2].partition("/")
    gain, bracket, baseline = value.partition("(")
    _need(not bracket or baseline.endswith(")"))
    zero = int(fields[4]) if not bracket else int(baseline[:-1])
    number = float(gain) or default_gain
    _need(math.isfinite(float(gain)))  # negative: an inverted lead
    per_mv = {"": 1.0, "mv": 1.0, "uv": 1e-3, "nv": 1e-6, "v": 1e3}.get(unit.lower())
    return None if number is None or per_mv is None else (number, zero, per_mv)


BITS = {"212": 12, "16": 16, "24": 24, "32": 32, "61": 16, "80": 8, "160": 16}


def _decode(content: bytes, fmt: str, count: int) -> tuple[list[int], int]:
    """Returns the samples, and the value that marks a missing sample."""
    if fmt == "212":
        pairs, whole = math.ceil(count / 2), math.ceil(count * 1.5)
        _need(len(content) in (whole, 3 * pairs))
        content = content + b"\0" * (3 * pairs - len(content))
        values = []
        for first, middle, last in struct.iter_unpack("3B", content):
            values += [first | (middle & 15) << 8, last | (middle >> 4) << 8]
        values = values[:count]
        values = [value - 4096 if value > 2047 else value for value in values]
    else:
        size, signed, order, shift = {
            "16": (2, True, "little", 0),
            "24": (3, True, "little", 0),
            "32": (4, True, "little", 0),
            "61": (2, True, "big", 0),
            "80": (1, False, "little", 128),
            "160": (2, False, "little", 32768),
        }[fmt]
        _need(len(content) == count * size)
        values = [
            int.from_bytes(content[at : at + size], order, signed=signed) - shift
            for at in range(0, len(content), size)
        ]
    return values, -(2 ** (BITS[fmt] - 1))


def _annotations(content: object, fs_hz: float) -> list[tuple[int, int]]:
    words = [word for (word,) in struct.iter_unpack("<H", content)]  # type: ignore[arg-type]
    found: list[tuple[int, int]] = []
    at, time = 0, 0
    _need(0 in words)
    while words[at]:
        code, value = words[at] >> 10, words[at] & 1023
        if code == 59:
            _need(value == 0)
            jump = words[at + 1] << 16 | words[at + 2]
            jump -= 2**32 if jump >= 2**31 else 0
            at += 3
            if (jump, words[at]) == (
                -1,
                1,
            ):  # WFDB ends notes about the file by a step back and an empty step
                at += 1
                continue
            time += jump
            _need(0 < words[at] >> 10 < 50 or words[at] >> 10 == 59)
        elif code in (60, 61, 62):
            _need(bool(found))
            at += 1
        elif code == 63:
            _need(bool(found) and value < 256)
            padded = (value + 1) // 2
            note = b"".join(struct.pack("<H", word) for word in words[at + 1 : at + 1 + padded])[
                :value
            ]
            _need(at + 1 + padded < len(words))
            _check_note(note.decode("latin-1"), found[-1], fs_hz)
            at += 1 + padded
        else:
            _need(code in SYMBOLS or 42 <= code < 50)
            time += value
            _need(time >= (found[-1][0] if found else 0))
            found.append((time, code))
            at += 1
    _need(not any(words[at:]))
    return found


def _check_note(note: str, annotation: tuple[int, int], fs_hz: float) -> None:
    """Reads a note `## …` about the whole file; only that with the frequency is accepted."""
    if note.startswith("## "):
        _need(annotation == (0, 22) and note.startswith("## time resolution:"))
        _need(math.isclose(float(note.partition(":")[2]), fs_hz, rel_tol=1e-6))


def _patient(record_id: str, comments: list[str], database: Database) -> str:
    if database.patient_in_header is None:
        return database.same_patient.get(record_id, record_id)
    return "patient " + next(
        found[1] for text in comments if (found := re.search(database.patient_in_header, text))
    )


def read_kaggle(files: Mapping[str, object], record_id: str, database: Database) -> Plain | None:
    """Reads a CSV file and its annotations; returns None if they are not clearly valid."""
    try:
        return _read_kaggle(files, record_id, database)
    except (_NotPlain, ValueError, IndexError, KeyError, TypeError):
        return None


def _read_kaggle(files: Mapping[str, object], record_id: str, database: Database) -> Plain:
    heading, *rows = _text_lines(files[f"{record_id}.csv"])
    names = [name.strip().strip("'\"").strip() for name in heading.split(",")]
    table = [[float(cell) for cell in row.split(",")] for row in rows]
    _need(all(len(row) == len(names) for row in table) and len(names) > 1 and all(names))
    _need(
        all(
            row[0] == place and all(cell == round(cell) for cell in row)
            for place, row in enumerate(table)
        )
    )
    _need(database.num_samples is None or len(table) == database.num_samples)
    columns = list(zip(*table, strict=True))[1:]
    signals = [
        [(value - database.adc_zero) / database.adc_gain for value in column] for column in columns
    ]
    beats, last = [], 0
    first, *rest = _text_lines(files[f"{record_id}annotations.txt"])
    _need(not re.search(r"\d", first))
    for line in rest:
        fields = line.split()
        sample, symbol = _whole(fields[1]), fields[2]
        _need(
            symbol in SYMBOLS.values()
            and all(_whole(field) >= 0 for field in fields[4:6])
            and len(fields) > 5
        )
        minutes, seconds = fields[0].rpartition(":")[::2]
        elapsed = sum(
            60 ** (i + 1) * _whole(part) for i, part in enumerate(reversed(minutes.split(":")))
        ) + float(seconds)
        _need(abs(elapsed - sample / database.fs_hz) < 0.002 and last <= sample)
        last = sample
        if symbol in BEATS and sample < len(table):
            beats.append((sample, symbol))
    kept = [
        place
        for place, lead in enumerate(signals)
        if all(abs(value) < HIGHEST_MV for value in lead)
    ]
    kept = [place for place in kept if names[1:].count(names[1 + place]) == 1]
    _need(kept)
    return _checked(
        database.patient_of(record_id),
        database.fs_hz,
        [names[1 + place] for place in kept],
        [signals[place] for place in kept],
        beats,
    )


def _text_lines(content: object) -> list[str]:
    text = bytes(content).decode("utf-8-sig")  # type: ignore[call-overload]
    return [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]


def _checked(
    patient: str,
    fs_hz: float,
    names: list[str],
    signals: list[list[float]],
    beats: list[tuple[int, str]],
) -> Plain:
    _need(all(names))
    _need(all(first[0] < second[0] for first, second in zip(beats, beats[1:], strict=False)))
    return Plain(
        patient=patient, fs_hz=fs_hz, lead_names=tuple(names), signals_mv=signals, beats=beats
    )


def _whole(text: str) -> int:
    _need(text.isascii() and text.isdigit() and len(text) < 12)
    return int(text)


def _need(condition: object) -> None:
    if not condition:
        raise _NotPlain
