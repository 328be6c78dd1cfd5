"""Write the classes that a model predicted as a WFDB annotation file."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecgexp.data.formats.record import BEAT_SYMBOLS
from ecgexp.settings.declaration import ConfigError

UNCLASSIFIED = "?"
"""WFDB's symbol of a beat that was not classified, e.g. at the edge of the record."""

_SYMBOLS = {"P": "/", "normal": "N"}
_ANY_OTHER = "Q"
_EXTENSION = re.compile(r"[A-Za-z]+")
_TAKEN = ("atr", "csv", "dat", "hea")


def symbol_of(class_name: str) -> str:
    """Return the annotation symbol of a class.

    Args:
      class_name: Name of a class of the label grouping.

    Returns:
      The name itself if it is a beat symbol (N, S, V, F and Q of AAMI; N, L, R, V and A of the six
      classes), `/` (paced beat) for `P`, `N` for `normal`, and `Q` for any other name, such as
      `abnormal`; the aux string of the annotation then gives the name.
    """
    if class_name in _SYMBOLS:
        return _SYMBOLS[class_name]
    return class_name if class_name in BEAT_SYMBOLS else _ANY_OTHER


def check_extension(extension: str) -> None:
    """Validate the extension of an annotation file to be written.

    Args:
      extension: The extension without dot.

    Raises:
      ConfigError: It has characters other than letters, which WFDB does not allow, or is the
        extension of another kind of file.
    """
    if not _EXTENSION.fullmatch(extension) or extension.lower() in _TAKEN:
        raise ConfigError(
            f"the extension {extension!r} is refused: only letters are allowed, and not "
            f"{', '.join(_TAKEN)}; use e.g. ecgexp"
        )


def write_annotations(
    folder: Path,
    record_id: str,
    extension: str,
    *,
    samples: np.ndarray,
    symbols: Sequence[str],
    notes: Sequence[str],
    fs_hz: float,
) -> Path:
    """Write `<folder>/<record_id>.<extension>`.

    Args:
      folder: An existing folder.
      record_id: The annotated record.
      extension: Extension that `check_extension` accepts.
      samples: (num_beats,) int64, increasing, at the frequency of the record; at least one.
      symbols: Symbol of each beat.
      notes: Note of each beat, empty for none.
      fs_hz: Sampling frequency of the record.

    Returns:
      The path of the file.
    """
    import wfdb

    wfdb.wrann(
        record_id,
        extension,
        np.asarray(samples, np.int64),
        list(symbols),
        fs=fs_hz,
        write_dir=str(folder),
        aux_note=list(notes) if any(notes) else None,
    )
    return folder / f"{record_id}.{extension}"
