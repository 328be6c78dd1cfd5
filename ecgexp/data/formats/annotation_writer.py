"""Writes beats that a model classified as a WFDB annotation file."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecgexp.data.formats.record import BEAT_SYMBOLS
from ecgexp.settings.declaration import ConfigError

UNCLASSIFIED = "?"
"""WFDB's "beat not classified": its window leaves the record."""

_SYMBOLS = {"P": "/", "normal": "N"}
_ANY_OTHER = "Q"
_EXTENSION = re.compile(r"[A-Za-z]+")
_TAKEN = ("atr", "csv", "dat", "hea")


def symbol_of(class_name: str) -> str:
    """The annotation symbol that stands for a class.

    A class that is named as a symbol is written by it: N, S, V, F and Q of AAMI, N, L, R, V and A of the six. `P` is
    `/`, the paced beat, and `normal` is N. Any other, such as `abnormal`, is Q, and its name stands in the annotation's note.
    """
    if class_name in _SYMBOLS:
        return _SYMBOLS[class_name]
    return class_name if class_name in BEAT_SYMBOLS else _ANY_OTHER


def check_extension(extension: str) -> None:
    """An extension is letters, as WFDB has it, and not that of another kind of file.

    Raises:
      ConfigError: it is not.
    """
    if not _EXTENSION.fullmatch(extension) or extension.lower() in _TAKEN:
        raise ConfigError(
            f"the extension {extension!r} is refused: letters only, and none of {', '.join(_TAKEN)}; try ecgexp"
        )


def write_annotations(
    folder: Path, record_id: str, extension: str, *, samples: np.ndarray, symbols: Sequence[str], notes: Sequence[str],
    fs_hz: float,
) -> Path:  # fmt: skip
    """Writes `<folder>/<record_id>.<extension>`.

    Args:
      folder: an existing one.
      record_id: the record that is annotated.
      extension: as `check_extension` wants it.
      samples: (n,) int64, rising, at the record's own frequency; at least one.
      symbols: (n,) each beat's.
      notes: (n,) text beside it, empty for none.
      fs_hz: the record's sampling frequency.
    """
    import wfdb

    wfdb.wrann(
        record_id, extension, np.asarray(samples, np.int64), list(symbols), fs=fs_hz, write_dir=str(folder),
        aux_note=list(notes) if any(notes) else None,
    )  # fmt: skip
    return folder / f"{record_id}.{extension}"
