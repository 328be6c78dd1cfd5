"""The folder of a run's checkpoints, which is removed when the run has finished."""

import logging
import shutil
from pathlib import Path

CHECKPOINTS = "checkpoints"
_log = logging.getLogger(__name__)


def has_checkpoints(folder: Path) -> bool:
    """Return whether the run in `folder` has checkpoints."""
    return (folder / CHECKPOINTS).is_dir()


def remove_checkpoints(folder: Path) -> bool:
    """Remove the checkpoints of a finished run.

    Under a privacy guarantee they are private, and they have no further use.

    Returns:
      Whether there were checkpoints and they were removed. A failure is only a warning, because the
      run has finished; the next `ecgexp-sync` or `resume=` tries again.
    """
    if not has_checkpoints(folder):
        return False
    try:
        shutil.rmtree(folder / CHECKPOINTS)
    except OSError as error:
        _log.warning(
            "%s: the checkpoints could not be removed (%s), and under a privacy guarantee they are "
            "private; make the folder "
            "writable and use `ecgexp-sync %s`",
            folder / CHECKPOINTS,
            error,
            folder,
        )
        return False
    return True
