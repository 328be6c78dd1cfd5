"""`ecgexp-compare`: is run B really better than run A? Their settings, scores and promises, and what may be chance."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecgexp._arguments import Parser, whole
from ecgexp._files import replacing
from ecgexp._reading import MissingFileError, read_json
from ecgexp._redaction import redact, redact_tracebacks
from ecgexp._scratch import use_own_scratch
from ecgexp._streams import command
from ecgexp._validate import DataError
from ecgexp.tracking.reading import default_uri, find_run
from ecgexp.two_runs.compared import Compared, compare


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script: 0, 1 for runs that cannot be compared, 2 for a value that cannot be used."""
    redact_tracebacks()
    options = _parse(arguments)
    use_own_scratch()
    try:
        if options.json is not None:
            _check_output(options.json)
        a, b = (find_run(name, uri=options.store) for name in (options.run_a, options.run_b))
        found = compare(a, b, split=options.split, num_resamples=options.num_resamples, seed=options.seed)
        if options.json is not None:
            _write(found, options.json)
    except DataError as error:
        print(redact(f"ecgexp-compare: {error}"), file=sys.stderr)
        return 1
    from rich.console import Console

    from ecgexp.two_runs.tables import render

    console = Console(highlight=False)
    console.print(render(found))
    console.print(found.verdict, style="bold", markup=False, soft_wrap=True)
    return 1 if found.problem else 0


def _check_output(file: Path) -> None:
    """A comparison may be made again under its name; any other file stays.

    Raises:
      DataError: another file, or a folder, is there.
    """
    try:
        values = read_json(file, dict[str, Any], fix="use another --json, or remove it")
    except MissingFileError:
        return
    except DataError as error:
        raise DataError(f"--json {file}: the file is there and is no comparison; {error}") from error
    if not {"split", "runs", "only_seed_differs"} <= values.keys():
        raise DataError(f"--json {file}: the file is there and is no comparison; use another --json, or remove it")


def _write(found: Compared, file: Path) -> None:
    text = json.dumps(found.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        with replacing(file) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"--json {file} cannot be written: {error.strerror}") from error


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-compare", description=__doc__)
    add = parser.add_argument
    store = redact(default_uri()).replace("%", "%%")
    add("run_a", help="an MLflow run id, or a run's folder under outputs/", metavar="RUN_A")
    add("run_b", help="the run that may be better", metavar="RUN_B")
    add("--split", choices=("test", "validation"), default="test", help="whose beats (%(default)s)")
    add(
        "--store", help=f"where run ids are looked up: MLFLOW_TRACKING_URI, else this folder's ({store})", metavar="URI"
    )
    add("--num-resamples", type=whole(0, 100_000), default=2000, help="of the bootstrap (%(default)s)", metavar="N")
    add("--seed", type=whole(0, 2**63 - 1), default=0, help="of the resamples (%(default)s)", metavar="N")
    add("--json", type=Path, help="write all of it to this file too", metavar="FILE")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
