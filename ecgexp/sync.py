"""`ecgexp-sync`: brings MLflow what it missed of runs that have ended, from their folders.

A run whose store goes out of reach goes on in its folder, and delivers what waits when the store is back; what was still
waiting at the run's end is brought by this command.
"""

import argparse
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ecgexp._arguments import Parser
from ecgexp._redaction import redact, redact_tracebacks
from ecgexp._scratch import use_own_scratch
from ecgexp._streams import command
from ecgexp._validate import ConfigError, DataError
from ecgexp.tracking.base import TrackerUnavailable
from ecgexp.tracking.credentials import with_credentials
from ecgexp.tracking.quiet import quieten
from ecgexp.tracking.reading import default_uri
from ecgexp.tracking.run_json import is_being_made, not_whole, read_run, write_run


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script: 0 if the store has everything now, 1 if not, 2 for bad arguments."""
    redact_tracebacks()
    options = _parse(arguments)
    use_own_scratch()
    quieten()  # before the first import of mlflow
    folders = options.run or not_whole(options.outputs)
    if not folders:
        print(f"MLflow has all of the runs below {options.outputs} that have ended")
    failed = 0
    for folder in folders:
        try:
            sent = _bring(folder, options.store)
            print(f"{folder} completed: {sent}" if sent else f"{folder} is whole already, nothing was sent")
        except KeyboardInterrupt:
            return 130
        except TrackerUnavailable as error:
            why = f"{folder}: {error}; what has arrived stays, type this again"
        except (ValueError, OSError) as error:  # DataError, what MLflow refuses, a file that is gone
            why = str(error)
        else:
            continue
        failed += 1
        print(f"ecgexp-sync: {redact(why)}", file=sys.stderr)
    return 1 if failed else 0


def _bring(folder: Path, store: str | None) -> str:
    """Completes one run in its store; returns what was sent."""
    read_run(folder)  # or it is no folder of a run, and gets no lock
    try:
        with FileLock(folder / ".lock", timeout=0):  # which a run holds while it is made
            values = _ended(folder)
            uri = store or _own_store(folder, values)
            from ecgexp.tracking.existing_store import open_existing
            from ecgexp.tracking.replay import replay
            from ecgexp.tracking.store import Store

            sent = replay(folder, Store(client=open_existing(uri), uri=uri, experiment_id=""), values["run_id"])
            write_run(folder, values | {"store": values["store"] | {"whole": True}})
            return sent
    except Timeout as error:
        raise DataError(f"{folder} is being used by another process; type this again when it has ended") from error


def _ended(folder: Path) -> dict[str, Any]:
    """What the run says of itself; one that stopped without a word is closed.

    Raises:
      DataError: it never was in MLflow, still runs, or nobody here can tell.
    """
    values = read_run(folder)
    if not values.get("store"):
        raise DataError(f"{folder} was made without MLflow, or by an earlier version: there is nothing to complete")
    if is_being_made(values):
        raise DataError(f"{folder} is still running; type this again when it has ended")
    if values["status"] == "RUNNING":
        host = values["tags"].get("process.host")
        if host != platform.node():
            raise DataError(f"{folder} says that it runs on {host}, which cannot be seen from here; sync it there")
        last = max(path.stat().st_mtime for path in (folder / "run.json", folder / "metrics.jsonl") if path.exists())
        values |= {"status": "KILLED", "reason": "its process ended without saying how", "ended": round(last, 3)}
        write_run(folder, values)
    return values


def _own_store(folder: Path, values: dict[str, Any]) -> str:
    """The store that the run was made in; its password, which no run writes down, comes from the environment.

    Raises:
      DataError: nobody knows the password.
    """
    uri = values["store"]["uri"]
    if redact(default_uri()) == uri:
        return default_uri()
    try:
        return with_credentials(uri)
    except ConfigError as error:
        why = str(error).replace("use tracking.uri= with them", "use --store with them")
        raise DataError(f"{folder}: {why}") from error


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-sync", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("run", nargs="*", type=Path, metavar="RUN_DIR", help="folders of runs; without any, all that lack something")
    add("--store", metavar="URI", help="the address of the runs' store, if it has moved or has a password")
    add("--outputs", type=Path, default=Path("outputs"), metavar="DIR", help="where runs are looked for (%(default)s)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
