"""Stands before `wfdb.rdann` and lets through only whole files of WFDB's annotation words.

wfdb never returns from some files with a note that begins with `##`, reads on behind the end mark, lets such a note give a
beat's code another meaning, and does not look whether times are counted at the record's own frequency. So the words are
looked through first (https://wfdb.io/spec/annotation-files.html); then wfdb reads them, and must have found the same codes.
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
_BACK_AND_ON = (
    -1,
    1,
)  # a step back, and an annotation of no kind a step on: so ends what is said of the whole file


class _NotAnnotations(Exception):
    """Its message goes on where the file's name ends."""


@functools.cache
def symbols() -> dict[int, str]:
    """The symbol of every code that has a meaning of its own, of beats and of all else."""
    from wfdb.io.annotation import ann_label_table

    return {
        code: symbol
        for code, symbol in zip(
            ann_label_table["label_store"], ann_label_table["symbol"], strict=True
        )
        if code
    }


def read_annotations(path: Path, fs_hz: float, database: Database) -> tuple[np.ndarray, np.ndarray]:
    """Samples and symbols of all annotations but those about the file itself.

    Args:
      path: the file.
      fs_hz: the record's sampling frequency, at which samples are counted.
      database: for the remedy.

    Returns:
      samples: (num_annotations,) int64, as they stand in the file: neither their order nor their range is checked.
      symbols: (num_annotations,) str; `nan` for codes that are left for users to define.

    Raises:
      DataError: the file is missing, cut, or no annotation file, or counts at another frequency.
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
    if not np.array_equal(
        found[found != _COMMENT], codes[codes != _COMMENT]
    ):  # wfdb leaves out comments about the file
        raise damaged(
            path,
            f"is no WFDB annotation file: {len(codes)} annotations can be read as {len(found)}",
            database,
        )
    return np.asarray(read.sample, np.int64), np.asarray(read.symbol, np.str_)


def _checked(words: np.ndarray, fs_hz: float) -> np.ndarray:
    """The codes of all annotations."""
    codes = words >> 10
    is_plain, notes = _take_out_skips_and_notes(words)
    at = np.flatnonzero(is_plain)
    end = at[words[at] == 0]
    if not len(end) or words[end[0] :].any():
        raise _NotAnnotations("goes on after WFDB's end mark" if len(end) else "has no end mark")
    at = at[at < end[0]]
    changes_last = (codes[at] >= _NUM) & (codes[at] <= _CHAN)
    unknown = at[~changes_last & ~np.isin(codes[at], [*symbols(), *_USER_DEFINED])]
    if len(unknown):
        raise _NotAnnotations(
            f"is no WFDB annotation file: word {unknown[0]} has the code {codes[unknown[0]]}"
        )
    own = at[~changes_last]  # annotations; the others say more about the one before
    first = own[0] if len(own) else end[0]
    if (len(at) and at[0] != first) or (notes and notes[0][0] < first):
        raise _NotAnnotations(
            "is no WFDB annotation file: it says more about an annotation before the first"
        )
    for place, note in notes:
        if note.startswith(b"## "):
            _check_about_file(
                note.decode("latin-1"), fs_hz, leads=place == 1 and words[0] == _COMMENT << 10
            )
    return codes[own]


def _take_out_skips_and_notes(words: np.ndarray) -> tuple[np.ndarray, list[tuple[int, bytes]]]:
    """Long steps in time, and notes: the only words that are followed by others which are not words of their own.

    Returns:
      is_plain: (num_words,) which words are neither of these nor part of one.
      notes: where each stands, and its bytes.
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
                    f"is no WFDB annotation file: a step at word {at} is not whole"
                )
            if (_long_step(words, at), words[free]) == _BACK_AND_ON:
                free += 1
            elif not 0 < codes[free] < _NUM:
                raise _NotAnnotations(
                    f"is no WFDB annotation file: a step at word {at} leads nowhere"
                )
        else:
            free = at + 1 + (int(values[at]) + 1) // 2
            if values[at] > 255 or free >= len(words):
                raise _NotAnnotations(
                    f"is no WFDB annotation file: a note at word {at} does not end"
                )
            notes.append((at, words[at + 1 : free].astype("<u2").tobytes()[: values[at]]))
        is_plain[at:free] = False
    return is_plain, notes


def _long_step(words: np.ndarray, at: int) -> int:
    """A step of 32 bits, high word first."""
    step = int(words[at + 1]) << 16 | int(words[at + 2])
    return step - 2**32 if step >= 2**31 else step


def _check_about_file(note: str, fs_hz: float, *, leads: bool) -> None:
    """One such note, if it is the first, is harmless; with others wfdb may not come to an end, or give codes other meanings."""
    said = _RESOLUTION.fullmatch(note)
    if said is None or not leads:
        raise _NotAnnotations(f"says of itself {quoted(note)}, which is not read")
    if not math.isclose(float(said[1]), fs_hz, rel_tol=1e-6):
        raise _NotAnnotations(
            f"counts time otherwise than the record, at {fs_hz:g} Hz: {quoted(note)}"
        )
