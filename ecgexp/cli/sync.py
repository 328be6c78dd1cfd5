"""Bring MLflow what it missed of runs that have ended, from their folders, and complete their end.

A run whose store goes out of reach goes on in its folder, and delivers what waits when the store is back; what was still
waiting at the run's end is brought by this command. It also removes what a run that was killed at its very end kept.
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
from ecgexp.tracking.base import TrackerUnavailable
from ecgexp.tracking.ending import complete
from ecgexp.tracking.local.lock import LOCK
from ecgexp.tracking.local.run_json import not_whole, read_run
from ecgexp.tracking.mlflow.quiet import quieten

_EXAMPLE = """\
ecgexp-sync
ecgexp-sync outputs/ecgexp/2026-01-31_12-00-00-000000 --store http://mlflow.example.org"""


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script: 0 if the store has everything now; 2 if something was refused."""
    options = _parse(arguments)
    return run_command("ecgexp-sync", lambda: _sync(options))


def _sync(options: argparse.Namespace) -> int:
    quieten()  # before the first import of mlflow
    folders, damaged = (options.run, []) if options.run else not_whole(options.runs_dir)
    code = 0
    for error in damaged:
        code = refuse("ecgexp-sync", error)
    if not folders and not damaged:
        print(f"MLflow has all of the runs below {options.runs_dir} that have ended")
    for name in folders:
        try:
            folder = named_folder(str(name), "RUN ", store=options.store)
            sent = _bring(folder, options.store)
            print(
                f"{folder} completed: {sent}"
                if sent
                else f"{folder} is whole already, nothing was sent"
            )
        except TrackerUnavailable as error:
            code = refuse(
                "ecgexp-sync",
                f"{name}: {error}; what has arrived stays, use the same command again",
            )
        except (
            ValueError,
            OSError,
        ) as error:  # DataError, what MLflow refuses, a file that is gone
            code = refuse("ecgexp-sync", error)
    return code


def _bring(folder: Path, store: str | None) -> str:
    """Completes one run; returns what was done."""
    values = read_run(folder)  # or it is no folder of a run, and gets no lock
    try:
        with FileLock(folder / LOCK, timeout=0):  # which a run holds while it is made
            done = complete(folder, store=store)
    except Timeout as error:
        raise DataError(
            f"{folder} is being used by another process; use this command again when it has ended"
        ) from error
    if not done and not values.get("store"):
        raise DataError(
            f"{folder} was made without MLflow, or by an earlier version: there is nothing to complete"
        )
    return done


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-sync", description=__doc__, example=_EXAMPLE)
    parser.add_run(nargs="*", help="{}; without any, all runs that lack something")
    parser.add_argument(
        "--runs-dir",
        type=Path,
        default=Path("outputs"),
        metavar="DIR",
        help="where runs are looked for (%(default)s)",
    )
    parser.add_argument(
        "--store", metavar="URI", help="MLflow store of the runs, if it has moved or has a password"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
