"""The folder of a run's checkpoints, which is removed when the run has finished."""

import logging
import re
import shutil
from pathlib import Path

from ecgexp.settings.installation import to_type

CHECKPOINTS = "checkpoints"
_STEP = re.compile(r"step-(\d+)-")
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
            "writable and use `%s`",
            folder / CHECKPOINTS,
            error,
            to_type(["ecgexp-sync", str(folder)]),
        )
        return False
    return True


def kept_steps(folder: Path) -> int | None:
    """Return the epochs or rounds that the newest checkpoint has; None if there is no checkpoint.

    Args:
      folder: folder of the run.
    """
    names = (path.name for path in (folder / CHECKPOINTS).glob("step-*"))
    return max((int(found[1]) for found in map(_STEP.match, names) if found), default=None)
