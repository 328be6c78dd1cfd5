"""A second reader of records: slow, strict, and without code of the readers that are tested.

It is written from WFDB's specification (https://wfdb.io/spec), for the fields that the readers
check. It returns None for everything that is not clearly valid. With it, the fuzzer distinguishes a
reader that returns wrong beats from files that hold other beats, which no reader can notice:
annotations, gains and names of leads have no checksum.
"""

import bisect
import itertools
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
    rows = [_row(re.split("[ \t]+", line, maxsplit=8)) for line in lines[1:]]
    names = _names([row.name for row in rows])
    signals: dict[int, list[float]] = {}
    for name in dict.fromkeys(row.file for row in rows):
        channels = [number for number, row in enumerate(rows) if row.file == name]
        fmt, offset = rows[channels[0]].fmt, rows[channels[0]].offset
        _need({(rows[number].fmt, rows[number].offset) for number in channels} == {(fmt, offset)})
        content = files[name][offset:]  # type: ignore[index]
        widths = [rows[number].per_frame for number in channels]
        length, flat, surplus = _frames(content, fmt, length, sum(widths))
        for position, number in enumerate(channels):
            row, begin = rows[number], sum(widths[:position])
            digital = [
                value
                for at in range(0, len(flat), sum(widths))
                for value in flat[at + begin : at + begin + row.per_frame]
            ]
            if fmt == "8":
                digital = list(itertools.accumulate(digital, initial=row.first or row.zero))[1:]
            agrees = row.checksum is not None and (sum(digital) - row.checksum) % 65536 == 0
            _need(agrees or row.checksum is None and not surplus)
            _need(agrees or row.first in (None, digital[0]))
            lead = _millivolts(row, digital, None if alone else database.adc_gain)
            if lead is not None:
                signals[number] = lead
    _need(signals)
    rate = math.gcd(*(rows[number].per_frame for number in signals))
    for number in signals:
        signals[number] = _averaged(signals[number], rows[number].per_frame // rate)
    beats = [
        (sample, symbol)
        for sample, symbol in _annotations(files[f"{record_id}.atr"], fs_hz)
        if symbol in BEATS and 0 <= sample < length
    ]
    beats = [beat for number, beat in enumerate(beats) if beat[0] not in _times(beats[:number])]
    patient = record_id if alone else _patient(record_id, comments, database)
    usable = sorted(signals)
    return _checked(
        patient,
        fs_hz,
        [names[number] for number in usable],
        [signals[number] for number in usable],
        beats,
    )


@dataclass(frozen=True, kw_only=True)
class _Row:
    """The line of one signal."""

    file: str
    fmt: str
    per_frame: int
    skew: int
    offset: int
    gain: float
    baseline: int
    unit: str
    zero: int
    first: int | None
    checksum: int | None
    name: str


def _row(words: list[str]) -> _Row:
    packing = re.fullmatch(r"(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?", words[1], re.ASCII)
    _need(packing)
    value, _, unit = (words[2] if len(words) > 2 else "").partition("/")
    gain, bracket, baseline = value.partition("(")
    _need(not bracket or baseline.endswith(")"))
    _need(math.isfinite(float(gain or 0)))  # negative: an inverted lead
    zero = int(words[4]) if len(words) > 4 else 0
    return _Row(
        file=words[0],
        fmt=packing[1],
        per_frame=int(packing[2] or 1),
        skew=int(packing[3] or 0),
        offset=int(packing[4] or 0),
        gain=float(gain or 0),
        baseline=int(baseline[:-1]) if bracket else zero,
        unit=(unit or "mV").lower(),
        zero=zero,
        first=int(words[5]) if len(words) > 5 else None,
        checksum=int(words[6]) if len(words) > 6 else None,
        name=words[8] if len(words) > 8 else "",
    )


def _names(described: list[str]) -> list[str]:
    """Returns a name for each signal; those that occur twice get a number."""
    described = [name or f"signal {number}" for number, name in enumerate(described)]
    names = []
    for number, name in enumerate(described):
        if described.count(name) > 1:
            name = f"{name}-{described[: number + 1].count(name)}"
            while name in described:
                name += "'"
        names.append(name)
    return names


def _frames(
    content: bytes, fmt: str, length: int | None, per_frame: int
) -> tuple[int, list[int], bool]:
    """Returns the length in frames, the samples in file order, and whether there are more bytes."""
    if length is None:
        length = len(content) * 8 // BITS[fmt] // per_frame
    flat, surplus = _decode(content, fmt, length * per_frame)
    return length, flat, surplus


def _millivolts(row: _Row, digital: list[int], default_gain: float | None) -> list[float] | None:
    """Returns a lead with straight lines in gaps; None if it cannot be used."""
    per_mv = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "nv": 1e-6, "v": 1e3}.get(row.unit)
    gain = row.gain or default_gain or 200.0
    if per_mv is None:
        return None
    invalid = None if row.fmt == "8" else -(2 ** (BITS[row.fmt] - 1))
    lead: list[float | None] = [
        None if value == invalid else (value - row.baseline) / gain * per_mv for value in digital
    ]
    shift = row.skew * row.per_frame
    lead = [*lead[shift:], *[None] * min(shift, len(lead))]
    known = [at for at, value in enumerate(lead) if value is not None]
    if not known:
        return None
    filled: list[float] = []
    for at, value in enumerate(lead):
        if value is None:
            after = bisect.bisect(known, at)
            left, right = known[max(after - 1, 0)], known[min(after, len(known) - 1)]
            part = (at - left) / (right - left) if right > left and at > left else 0.0
            value = lead[left] + (lead[right] - lead[left]) * part  # type: ignore[operator]
        filled.append(value)
    return filled if all(abs(value) < HIGHEST_MV for value in filled) else None


def _averaged(lead: list[float], factor: int) -> list[float]:
    return [sum(lead[at : at + factor]) / factor for at in range(0, len(lead), factor)]


def _times(beats: list[tuple[int, str]]) -> set[int]:
    return {sample for sample, _ in beats}


def _header_lines(content: object) -> tuple[list[str], list[str]]:
    lines, comments = [], []
    content = bytes(content).removeprefix(b"\xef\xbb\xbf")  # type: ignore[call-overload]
    for raw in content.replace(b"\r\n", b"\n").split(b"\n"):
        line = raw.strip(b" \t")
        _need(not any(byte < 32 and byte != 9 or byte == 127 for byte in line))
        if line.startswith(b"#"):
            comments.append(line.decode("ascii", "ignore"))
        elif line:
            try:
                lines.append(line.decode("utf-8"))
            except UnicodeDecodeError:
                lines.append(line.decode("latin-1"))
    return lines, comments


BITS = {"212": 12, "16": 16, "24": 24, "32": 32, "61": 16, "80": 8, "160": 16, "8": 8}
BITS |= {"310": 10, "311": 10}


def _decode(content: bytes, fmt: str, count: int) -> tuple[list[int], bool]:
    """Returns the samples (differences in format 8), and whether there are more bytes."""
    if fmt in ("212", "310", "311"):
        in_block, size = (2, 3) if fmt == "212" else (3, 4)
        whole = math.ceil(count / in_block) * size
        needed = {("212", 1): 1, ("310", 1): 2, ("311", 1): 2, ("311", 2): 1}
        least = whole - needed.get((fmt, count % in_block), 0)
        _need(len(content) >= least)
        surplus = len(content) not in (least, whole)
        content = content[:whole] + b"\0" * (whole - len(content))
        values = []
        for at in range(0, whole, size):
            block = int.from_bytes(content[at : at + size], "little")
            if fmt == "212":
                values += [block & 0xFFF, (block >> 12 & 15) << 8 | block >> 16]
            elif fmt == "310":
                third = block >> 11 & 31 | (block >> 27 & 31) << 5
                values += [block >> 1 & 1023, block >> 17 & 1023, third]
            else:
                values += [block & 1023, block >> 10 & 1023, block >> 20 & 1023]
        half = 2 ** (BITS[fmt] - 1)
        values = [value - 2 * half if value >= half else value for value in values[:count]]
    else:
        size, signed, order, shift = {
            "8": (1, True, "little", 0),
            "16": (2, True, "little", 0),
            "24": (3, True, "little", 0),
            "32": (4, True, "little", 0),
            "61": (2, True, "big", 0),
            "80": (1, False, "little", 128),
            "160": (2, False, "little", 32768),
        }[fmt]
        _need(len(content) >= count * size)
        surplus = len(content) > count * size
        values = [
            int.from_bytes(content[at : at + size], order, signed=signed) - shift
            for at in range(0, count * size, size)
        ]
    return values, surplus


def _annotations(content: object, fs_hz: float) -> list[tuple[int, str]]:
    """Returns sample and symbol of all annotations in time order."""
    words = [word for (word,) in struct.iter_unpack("<H", content)]  # type: ignore[arg-type]
    found: list[list] = []  # time, code, note
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
            found[-1][2] += note.rstrip(b"\0").decode("latin-1")
            at += 1 + padded
        else:
            _need(code in SYMBOLS or 42 <= code < 50)
            time += value
            found.append([time, code, ""])
            at += 1
    _need(not any(words[at:]))
    names = SYMBOLS | {code: f"[{code}]" for code in range(42, 50)}
    hz = fs_hz
    while found and found[0][:2] == [0, 22] and found[0][2].startswith("## "):
        note = found.pop(0)[2]
        if note.startswith("## time resolution"):
            hz = float(note.removeprefix("## time resolution: "))
            _need(hz > 0)
        elif note == "## annotation type definitions":
            while (definition := found.pop(0))[2] != "## end of definitions":
                _need(definition[:2] == [0, 22])
                code, symbol = definition[2].split()[:2]
                _need(0 < int(code) < 50)
                names[int(code)] = symbol
    times = [time if hz == fs_hz else math.floor(time * (fs_hz / hz) + 0.5) for time, *_ in found]
    symbols = [names[code] for _, code, _ in found]
    return sorted(zip(times, symbols, strict=True), key=lambda each: each[0])


def _patient(record_id: str, comments: list[str], database: Database) -> str:
    if database.patient_comment is None:
        return database.same_patient.get(record_id, record_id)
    return next(
        found[1] for text in comments if (found := re.search(database.patient_comment, text))
    )


def read_kaggle(files: Mapping[str, object], record_id: str, database: Database) -> Plain | None:
    """Reads a CSV file and its annotations; returns None if they are not clearly valid."""
    try:
        return _read_kaggle(files, record_id, database)
    except (_NotPlain, ValueError, IndexError, KeyError, OverflowError, TypeError):
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
    beats: list[tuple[int, str]] = []
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
        _need(abs(elapsed - sample / database.fs_hz) < 0.002)
        if symbol in BEATS and sample < len(table):
            beats.append((sample, symbol))
    beats.sort(key=lambda beat: beat[0])
    beats = [beat for number, beat in enumerate(beats) if beat[0] not in _times(beats[:number])]
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
