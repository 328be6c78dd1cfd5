"""Read WFDB annotation files (https://wfdb.io/spec/annotation-files.html).

wfdb 4.3 does not terminate on some files with a note that begins with `##`, reads beyond the end
mark, and does not convert times that are counted at another frequency than the record's. Therefore
the words of the file are read here.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.integrity import check_annotation_file
from ecgexp.data.formats.untrusted import damaged, quoted

SYMBOLS = dict(zip(range(1, 15), "NLRaVFJASEj/Q~", strict=True))
SYMBOLS |= {16: "|"} | dict(zip(range(18, 42), 'sT*D"=pB^t+u?![]en@xf()r', strict=True))
"""Code -> symbol for every code that WFDB defines, of beats and of other annotations."""

_COMMENT = 22
_USER_DEFINED = range(42, 50)
_SKIP, _NUM, _CHAN, _AUX = 59, 60, 62, 63
_LAST_CODE = 49
_RESOLUTION = re.compile(r"## time resolution: (\d{1,9}(?:\.\d{0,9})?)")
_ABOUT_TIME = "## time resolution"
_DEFINITIONS, _END = "## annotation type definitions", "## end of definitions"
_DEFINITION = re.compile(r"(?P<code>\d{1,2})\s+(?P<symbol>\S{1,20})(?:\s.*)?", re.DOTALL)
# A step of -1 and a word with code 0 and step 1: the end of the annotations about the file.
_BACK_AND_ON = (-1, 1)


class _NotAnnotations(Exception):
    """Its message continues a sentence that begins with the file's name."""


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """The annotations of a file, except those about the file itself.

    Attributes:
      samples: (num_annotations,) int64, in samples of the record; in the order of the file, which
        need not be that of time, and not limited to the record.
      symbols: (num_annotations,) str; `[42]` for a code that users may define and the file does
        not.
      aux_notes: (num_annotations,) str: the note of each annotation, empty without one. It is free
        text, which may name persons.
    """

    samples: np.ndarray
    symbols: np.ndarray
    aux_notes: np.ndarray


def read_annotations(path: Path, fs_hz: float, database: Database) -> Annotations:
    """Read all annotations of a file.

    Times that the file counts at another frequency, which a note about the file states, are
    converted; symbols that such notes define are used.

    Args:
      path: The file.
      fs_hz: Frequency of the record, at which samples are counted.
      database: Gives the remedy.

    Returns:
      The annotations.

    Raises:
      DataError: The file is missing, truncated or not an annotation file.
    """
    content = check_annotation_file(path, database)
    try:
        return _read(np.frombuffer(content, "<u2").astype(np.int64), fs_hz)
    except _NotAnnotations as error:
        raise damaged(path, str(error), database) from error


def _read(words: np.ndarray, fs_hz: float) -> Annotations:
    codes, values = words >> 10, words & 1023
    is_plain, notes, jumps = _take_out_skips_and_notes(words)
    at = np.flatnonzero(is_plain)
    end = at[words[at] == 0]
    if not len(end) or words[end[0] :].any():
        raise _NotAnnotations(
            "has words after WFDB's end mark" if len(end) else "has no end mark of WFDB"
        )
    at = at[at < end[0]]
    changes_last = (codes[at] >= _NUM) & (codes[at] <= _CHAN)
    unknown = at[~changes_last & ~np.isin(codes[at], [*SYMBOLS, *_USER_DEFINED])]
    if len(unknown):
        raise _NotAnnotations(
            f"is not a WFDB annotation file: word {unknown[0]} has the code {codes[unknown[0]]}"
        )
    own = at[~changes_last]  # annotations; the other words are attributes of the one before
    first = own[0] if len(own) else end[0]
    if (len(at) and at[0] != first) or (notes and notes[0][0] < first):
        raise _NotAnnotations(
            "is not a WFDB annotation file: it has attributes before the first annotation"
        )
    steps = np.zeros(len(words), np.int64)
    steps[own] = values[own]
    steps[list(jumps)] = list(jumps.values())
    samples = np.cumsum(steps)[own]
    texts: dict[int, str] = {}
    for place, note in notes:
        number = int(np.searchsorted(own, place)) - 1
        texts[number] = texts.get(number, "") + _text(note)
    names = dict(SYMBOLS)
    resolution, about = _about_file(samples, codes[own], texts, names)
    if resolution is not None and resolution != fs_hz:
        samples = np.floor(samples * (fs_hz / resolution) + 0.5).astype(np.int64)
    aux_notes = [texts.get(number, "") for number in range(about, len(own))]
    return Annotations(
        samples=samples[about:],
        symbols=np.asarray(
            [names.get(code, f"[{code}]") for code in codes[own][about:].tolist()], np.str_
        ),
        aux_notes=np.asarray(aux_notes, np.str_),
    )


def _text(note: bytes) -> str:
    note = note.rstrip(b"\0")
    try:
        return note.decode("utf-8")
    except UnicodeDecodeError:
        return note.decode("latin-1")


def _about_file(
    samples: np.ndarray, codes: np.ndarray, texts: dict[int, str], names: dict[int, str]
) -> tuple[float | None, int]:
    """Interpret the comments about the file, with which it may begin; other notes are only text.

    Args:
      samples: (num_annotations,) int64, as in the file.
      codes: (num_annotations,) int64.
      texts: Number of an annotation -> its note.
      names: Code -> symbol, to which definitions are added.

    Returns:
      resolution: Frequency at which the file counts time; None if it does not state it.
      about: Number of these comments.
    """
    resolution, number, defining = None, 0, False
    while number < len(codes) and codes[number] == _COMMENT and samples[number] == 0:
        note = texts.get(number, "")
        if defining:
            defining = note != _END
            if defining:
                _define(note, names)
        elif note == _DEFINITIONS:
            defining = True
        elif note.startswith(_ABOUT_TIME):
            stated = _RESOLUTION.fullmatch(note)
            hz = float(stated[1]) if stated else 0.0
            if not hz or resolution not in (None, hz):
                raise _NotAnnotations(f"has the note {quoted(note)}, which states no frequency")
            resolution = hz
        elif not note.startswith("## "):
            break
        number += 1
    if defining:
        raise _NotAnnotations(f"has the note {quoted(_DEFINITIONS)} without {quoted(_END)}")
    return resolution, number


def _define(note: str, names: dict[int, str]) -> None:
    found = _DEFINITION.fullmatch(note)
    code = int(found["code"]) if found else 0
    if found is None or not 0 < code <= _LAST_CODE or not found["symbol"].isprintable():
        raise _NotAnnotations(f"has the note {quoted(note)}, which defines no annotation type")
    names[code] = found["symbol"]


def _take_out_skips_and_notes(
    words: np.ndarray,
) -> tuple[np.ndarray, list[tuple[int, bytes]], dict[int, int]]:
    """Find long time steps and notes, the only words followed by data that are not words.

    Returns:
      is_plain: (num_words,) bool, True for words that are neither of these nor part of one.
      notes: Position and bytes of each note.
      jumps: Position -> long time step.
    """
    codes, values = words >> 10, words & 1023
    is_plain = np.ones(len(words), bool)
    notes, jumps = [], {}
    free = 0
    for at in np.flatnonzero((codes == _SKIP) | (codes == _AUX)).tolist():
        if at < free:  # inside a note
            continue
        if codes[at] == _SKIP:
            free = at + 3
            if values[at] or free >= len(words):
                raise _NotAnnotations(
                    f"is not a WFDB annotation file: the step at word {at} is incomplete"
                )
            if (_long_step(words, at), words[free]) == _BACK_AND_ON:
                free += 1
                is_plain[at:free] = False
                continue
            jumps[at] = _long_step(words, at)
            if not 0 < codes[free] < _NUM:
                raise _NotAnnotations(
                    f"is not a WFDB annotation file: the step at word {at} has no annotation"
                )
        else:
            free = at + 1 + (int(values[at]) + 1) // 2
            if values[at] > 255 or free >= len(words):
                raise _NotAnnotations(
                    f"is not a WFDB annotation file: the note at word {at} does not end"
                )
            notes.append((at, words[at + 1 : free].astype("<u2").tobytes()[: values[at]]))
        is_plain[at:free] = False
    return is_plain, notes, jumps


def _long_step(words: np.ndarray, at: int) -> int:
    """Return a step of 32 bits, stored high word first."""
    step = int(words[at + 1]) << 16 | int(words[at + 2])
    return step - 2**32 if step >= 2**31 else step
