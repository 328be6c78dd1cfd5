"""`ecgexp-compare`: is run B really better than run A? Their settings, scores and promises, and what may be chance."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecgexp.analysis.comparison.run_comparison import RunComparison, compare_runs
from ecgexp.analysis.find_runs import find_run
from ecgexp.cli.arguments import Parser, whole
from ecgexp.cli.streams import command
from ecgexp.settings.declaration import DataError
from ecgexp.settings.redaction import redact, redact_tracebacks
from ecgexp.storage.atomic import replacing
from ecgexp.storage.reading import MissingFileError, read_json
from ecgexp.storage.scratch import use_own_scratch
from ecgexp.tracking.mlflow.existing_store import default_uri


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
        found = compare_runs(
            a, b, split=options.split, num_resamples=options.num_resamples, seed=options.seed
        )
        if options.json is not None:
            _write(found, options.json)
    except DataError as error:
        print(redact(f"ecgexp-compare: {error}"), file=sys.stderr)
        return 1
    from rich.console import Console

    from ecgexp.analysis.comparison.tables import render

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
        raise DataError(
            f"--json {file}: the file is there and is no comparison; {error}"
        ) from error
    if not {"split", "runs", "only_seed_differs"} <= values.keys():
        raise DataError(
            f"--json {file}: the file is there and is no comparison; use another --json, or remove it"
        )


def _write(found: RunComparison, file: Path) -> None:
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
        "--store",
        help=f"where run ids are looked up: MLFLOW_TRACKING_URI, else this folder's ({store})",
        metavar="URI",
    )
    add(
        "--num-resamples",
        type=whole(0, 100_000),
        default=2000,
        help="of the bootstrap (%(default)s)",
        metavar="N",
    )
    add(
        "--seed",
        type=whole(0, 2**63 - 1),
        default=0,
        help="of the resamples (%(default)s)",
        metavar="N",
    )
    add("--json", type=Path, help="write all of it to this file too", metavar="FILE")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
