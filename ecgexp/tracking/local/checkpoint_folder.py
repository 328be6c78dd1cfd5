"""The states of training in a run's folder, which go when the run has finished."""

import logging
import shutil
from pathlib import Path

CHECKPOINTS = "checkpoints"
_log = logging.getLogger(__name__)


def has_checkpoints(folder: Path) -> bool:
    """Whether a run left states of its training in its folder, of which `remove_checkpoints` leaves nothing."""
    return (folder / CHECKPOINTS).is_dir()


def remove_checkpoints(folder: Path) -> bool:
    """Removes the states of training of a run that has finished: under privacy they are private, and of no more use.

    Returns:
      Whether there were any, and they are gone. A failure is a warning: the run has finished, and the next `ecgexp-sync` or
      `resume=` tries again.
    """
    if not has_checkpoints(folder):
        return False
    try:
        shutil.rmtree(folder / CHECKPOINTS)
    except OSError as error:
        _log.warning(
            "%s: the states of training could not be removed (%s); under privacy they are private: use `ecgexp-sync %s` when "
            "they can be",
            folder / CHECKPOINTS, error, folder,
        )  # fmt: skip
        return False
    return True
