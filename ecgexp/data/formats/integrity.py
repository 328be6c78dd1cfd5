"""Checks that files of every format have: plausible values, published content, complete notes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.untrusted import damaged, read_file
from ecgexp.settings.declaration import DataError

_HIGHEST_MV = 1000.0  # potentials on the body surface are far below one volt


def check_millivolts(
    path: Path, signals_mv: np.ndarray, lead_names: Sequence[str], database: Database
) -> None:
    """Check that the signals are finite and below one volt, which detects a wrong gain.

    Args:
      path: The file that determines their scale.
      signals_mv: (num_samples, leads) float64, millivolts.
      lead_names: Name of each column.
      database: Gives the remedy.

    Raises:
      DataError: A value is not finite, or is one volt or more.
    """
    # Comparisons with NaN are false, so that NaN does not pass.
    if signals_mv.min(initial=0.0) > -_HIGHEST_MV and signals_mv.max(initial=0.0) < _HIGHEST_MV:
        return
    for name, highest in zip(lead_names, np.abs(signals_mv).max(axis=0), strict=True):
        if not highest < _HIGHEST_MV:
            raise damaged(
                path,
                f"gives {highest:g} mV in lead {name}, and an ECG is below {_HIGHEST_MV:g} mV",
                database,
            )


def check_annotation_file(path: Path, database: Database) -> bytes:
    """Read an annotation file and check that it ends with the two zero bytes of its format.

    Args:
      path: The file.
      database: Gives the remedy.

    Returns:
      Its content: an even number of bytes.

    Raises:
      DataError: It is missing or truncated.
    """
    content = read_file(path, database)
    if len(content) % 2 or content[-2:] != b"\0\0":
        raise damaged(
            path,
            f"is truncated: its {len(content)} bytes do not end with WFDB's end mark",
            database,
        )
    return content


def is_inside(samples: np.ndarray, num_samples: int) -> np.ndarray:
    """Return which annotations are inside the record; some of published databases are not.

    Args:
      samples: (num_annotations,) int64.
      num_samples: Length of the record.

    Returns:
      (num_annotations,) bool.
    """
    return (samples >= 0) & (samples < num_samples)


def check_published(sha256: Mapping[Path, str], database: Database) -> None:
    """Check that files are those PhysioNet publishes, apart from line endings of headers.

    Args:
      sha256: File -> SHA-256.
      database: Gives the published list; files that are not in it are not checked.

    Raises:
      DataError: A file differs.
    """
    published = database.published_sha256()
    for path, found in sha256.items():
        if path.name in published and found != published[path.name]:
            raise DataError(
                f"{path} is not the file that PhysioNet publishes in {database} (SHA-256 differs); "
                f"{database.fix}, or use dataset.verify=header to accept a changed file"
            )
