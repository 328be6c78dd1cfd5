"""Validate WFDB annotation files before `wfdb.rdann` reads them.

wfdb does not terminate on some files with a note that begins with `##`, reads beyond the end mark,
lets such a note change the meaning of a code, and does not compare the time resolution with the
record's frequency. Therefore the words of the file are checked first
(https://wfdb.io/spec/annotation-files.html); then wfdb reads the file and must find the same codes.
"""

import functools
import math
import re
from pathlib import Path

import numpy as np

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.integrity import check_annotation_file
from ecgexp.data.formats.untrusted import damaged, quoted

_COMMENT = 22
_USER_DEFINED = range(42, 50)
_SKIP, _NUM, _CHAN, _AUX = 59, 60, 62, 63
_RESOLUTION = re.compile(r"## time resolution: (\d+(?:\.\d*)?)")
# A step of -1 and a word with code 0 and step 1: the end of the annotations about the file.
_BACK_AND_ON = (-1, 1)


class _NotAnnotations(Exception):
    """Its message continues a sentence that begins with the file's name."""


@functools.cache
def symbols() -> dict[int, str]:
    """Return code -> symbol for every code that WFDB defines, of beats and of other annotations."""
    from wfdb.io.annotation import ann_label_table

    return {
        code: symbol
        for code, symbol in zip(
            ann_label_table["label_store"], ann_label_table["symbol"], strict=True
        )
        if code
    }


def read_annotations(path: Path, fs_hz: float, database: Database) -> tuple[np.ndarray, np.ndarray]:
    """Read samples and symbols of all annotations, except those about the file itself.

    Args:
      path: The file.
      fs_hz: Frequency of the record, at which samples are counted.
      database: Gives the remedy.

    Returns:
      samples: (num_annotations,) int64, as in the file: neither order nor range is checked.
      symbols: (num_annotations,) str; `nan` for codes that users may define.

    Raises:
      DataError: The file is missing, truncated or not an annotation file, or has another time
        resolution.
    """
    content = check_annotation_file(path, database)
    try:
        codes = _checked(np.frombuffer(content, "<u2").astype(np.int64), fs_hz)
    except _NotAnnotations as error:
        raise damaged(path, str(error), database) from error
    import wfdb

    read = wfdb.rdann(
        str(path.with_suffix("")), path.suffix[1:], return_label_elements=["label_store", "symbol"]
    )
    found = np.asarray(read.label_store, np.int64)
    # wfdb omits comments about the file.
    if not np.array_equal(found[found != _COMMENT], codes[codes != _COMMENT]):
        raise damaged(
            path,
            f"is not a WFDB annotation file: wfdb reads {len(found)} of {len(codes)} annotations",
            database,
        )
    return np.asarray(read.sample, np.int64), np.asarray(read.symbol, np.str_)


def _checked(words: np.ndarray, fs_hz: float) -> np.ndarray:
    """Check all words and return the codes of the annotations."""
    codes = words >> 10
    is_plain, notes = _take_out_skips_and_notes(words)
    at = np.flatnonzero(is_plain)
    end = at[words[at] == 0]
    if not len(end) or words[end[0] :].any():
        raise _NotAnnotations(
            "has words after WFDB's end mark" if len(end) else "has no end mark of WFDB"
        )
    at = at[at < end[0]]
    changes_last = (codes[at] >= _NUM) & (codes[at] <= _CHAN)
    unknown = at[~changes_last & ~np.isin(codes[at], [*symbols(), *_USER_DEFINED])]
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
    for place, note in notes:
        if note.startswith(b"## "):
            _check_about_file(
                note.decode("latin-1"), fs_hz, leads=place == 1 and words[0] == _COMMENT << 10
            )
    return codes[own]


def _take_out_skips_and_notes(words: np.ndarray) -> tuple[np.ndarray, list[tuple[int, bytes]]]:
    """Find long time steps and notes, the only words followed by data that are not words.

    Returns:
      is_plain: (num_words,) bool, True for words that are neither of these nor part of one.
      notes: Position and bytes of each note.
    """
    codes, values = words >> 10, words & 1023
    is_plain = np.ones(len(words), bool)
    notes = []
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
            elif not 0 < codes[free] < _NUM:
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
    return is_plain, notes


def _long_step(words: np.ndarray, at: int) -> int:
    """Return a step of 32 bits, stored high word first."""
    step = int(words[at + 1]) << 16 | int(words[at + 2])
    return step - 2**32 if step >= 2**31 else step


def _check_about_file(note: str, fs_hz: float, *, leads: bool) -> None:
    """Allow only a time resolution in the first word, equal to the record's frequency.

    With other notes about the file wfdb may not terminate, or change the meaning of codes.
    """
    stated = _RESOLUTION.fullmatch(note)
    if stated is None or not leads:
        raise _NotAnnotations(f"has the note {quoted(note)} about the file, which is not supported")
    if not math.isclose(float(stated[1]), fs_hz, rel_tol=1e-6):
        raise _NotAnnotations(f"states {quoted(note)}, but the record counts time at {fs_hz:g} Hz")
