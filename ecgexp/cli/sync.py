"""`ecgexp-sync`: brings MLflow what it missed of runs that have ended, from their folders, and completes their end.

A run whose store goes out of reach goes on in its folder, and delivers what waits when the store is back; what was still
waiting at the run's end is brought by this command. It also removes what a run that was killed at its very end kept.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from ecgexp.cli.arguments import Parser
from ecgexp.cli.streams import command
from ecgexp.settings.declaration import DataError
from ecgexp.settings.redaction import redact, redact_tracebacks
from ecgexp.storage.scratch import use_own_scratch
from ecgexp.tracking.base import TrackerUnavailable
from ecgexp.tracking.ending import complete
from ecgexp.tracking.local.lock import LOCK
from ecgexp.tracking.local.run_json import not_whole, read_run
from ecgexp.tracking.mlflow.quiet import quieten


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script: 0 if the store has everything now, 1 if not, 2 for bad arguments."""
    redact_tracebacks()
    options = _parse(arguments)
    use_own_scratch()
    quieten()  # before the first import of mlflow
    folders, damaged = (options.run, []) if options.run else not_whole(options.outputs)
    for error in damaged:
        print(redact(f"ecgexp-sync: {error}"), file=sys.stderr)
    failed = len(damaged)
    if not folders and not damaged:
        print(f"MLflow has all of the runs below {options.outputs} that have ended")
    for folder in folders:
        try:
            sent = _bring(folder, options.store)
            print(
                f"{folder} completed: {sent}"
                if sent
                else f"{folder} is whole already, nothing was sent"
            )
        except KeyboardInterrupt:
            return 130
        except TrackerUnavailable as error:
            why = f"{folder}: {error}; what has arrived stays, type this again"
        except (
            ValueError,
            OSError,
        ) as error:  # DataError, what MLflow refuses, a file that is gone
            why = str(error)
        else:
            continue
        failed += 1
        print(f"ecgexp-sync: {redact(why)}", file=sys.stderr)
    return 1 if failed else 0


def _bring(folder: Path, store: str | None) -> str:
    """Completes one run; returns what was done."""
    values = read_run(folder)  # or it is no folder of a run, and gets no lock
    try:
        with FileLock(folder / LOCK, timeout=0):  # which a run holds while it is made
            done = complete(folder, store=store)
    except Timeout as error:
        raise DataError(
            f"{folder} is being used by another process; type this again when it has ended"
        ) from error
    if not done and not values.get("store"):
        raise DataError(
            f"{folder} was made without MLflow, or by an earlier version: there is nothing to complete"
        )
    return done


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-sync", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add(
        "run",
        nargs="*",
        type=Path,
        metavar="RUN_DIR",
        help="folders of runs; without any, all that lack something",
    )
    add(
        "--store",
        metavar="URI",
        help="the address of the runs' store, if it has moved or has a password",
    )
    add(
        "--outputs",
        type=Path,
        default=Path("outputs"),
        metavar="DIR",
        help="where runs are looked for (%(default)s)",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
