"""Send MLflow what it lacks of runs that have ended, and finish their last steps.

If the store cannot be reached, a run continues in its folder and sends pending entries when the
store answers again. This command sends entries that were still pending when the run ended. It also
removes the checkpoints of runs that finished but were killed before they could remove them.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from ecgexp.cli.arguments import Parser, refuse, run_command
from ecgexp.cli.run_argument import named_folder
from ecgexp.cli.streams import command
from ecgexp.settings.declaration import DataError
from ecgexp.settings.installation import to_type
from ecgexp.tracking.base import TrackerUnavailable
from ecgexp.tracking.ending import complete
from ecgexp.tracking.local.lock import LOCK
from ecgexp.tracking.local.run_json import not_whole, read_run
from ecgexp.tracking.mlflow.quiet import quieten
from ecgexp.tracking.other_settings import WANDB

_EXAMPLE = """\
ecgexp-sync
ecgexp-sync outputs/ecgexp/2026-01-31_12-00-00-000000 --store http://mlflow.example.org"""


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script.

    Returns:
      0 if the store is complete now, 2 if an error was printed.
    """
    options = _parse(arguments)
    return run_command("ecgexp-sync", lambda: _sync(options))


def _sync(options: argparse.Namespace) -> int:
    quieten()  # before the first import of mlflow
    folders, damaged = (options.run, []) if options.run else not_whole(options.runs_dir)
    code = 0
    for error in damaged:
        code = refuse("ecgexp-sync", error)
    if not folders and not damaged:
        print(f"MLflow is complete for all runs below {options.runs_dir} that have ended")
    for name in folders:
        try:
            folder = named_folder(str(name), "RUN ", store=options.store)
            sent = _complete(folder, options.store)
            print(
                f"{folder} completed: {sent}"
                if sent
                else f"{folder} is complete already, nothing was sent"
            )
        except TrackerUnavailable as error:
            code = refuse(
                "ecgexp-sync",
                f"{name}: {error}; entries that were sent stay, use the same command again",
            )
        # DataError, a value that MLflow rejects, a missing file
        except (ValueError, OSError) as error:
            code = refuse("ecgexp-sync", error)
    return code


def _complete(folder: Path, store: str | None) -> str:
    """Completes one run; returns a description of what was done, empty for nothing."""
    values = read_run(folder)  # first, so that no lock is written to a folder that is not a run
    try:
        with FileLock(folder / LOCK, timeout=0):  # held by a process that trains the run
            done = complete(folder, store=store)
    except Timeout as error:
        raise DataError(
            f"RUN {folder}: another process is using it; use this command again when that has ended"
        ) from error
    if not done and (folder / WANDB).is_dir():
        raise DataError(
            f"RUN {folder}: Weights & Biases cannot be read, so nothing can be completed there; "
            f"use `{to_type(f'wandb sync {folder}/{WANDB}/offline-run-*')}`"
        )
    if not done and not values.get("store"):
        raise DataError(
            f"RUN {folder}: it was made without MLflow or by an earlier version, so there is "
            "nothing to complete; leave it out"
        )
    return done


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-sync", description=__doc__, example=_EXAMPLE)
    parser.add_run(nargs="*", help="{}; default: all incomplete runs")
    parser.add_argument(
        "--runs-dir",
        type=Path,
        default=Path("outputs"),
        metavar="DIR",
        help="folder that is searched for runs (%(default)s)",
    )
    parser.add_argument(
        "--store", metavar="URI", help="MLflow store of the runs, if it has moved or has a password"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
