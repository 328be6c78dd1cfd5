"""Compare two runs: settings, scores with confidence intervals, and privacy guarantees."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecgexp.analysis.comparison.run_comparison import RunComparison, compare_runs
from ecgexp.cli.arguments import NEGATIVE, Parser, check_output, run_command, whole
from ecgexp.cli.run_argument import named_run
from ecgexp.cli.streams import command
from ecgexp.settings.declaration import DataError
from ecgexp.storage.atomic import replacing
from ecgexp.storage.reading import read_json

_EXAMPLE = """\
ecgexp-compare outputs/ecgexp/2026-01-31_12-00-00-000000 outputs/ecgexp/2026-01-31_12-30-00-000000
ecgexp-compare RUN_A RUN_B --split validation --output comparison.json"""


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script.

    Returns:
      0; 1 for runs that cannot be compared; 2 for an error.
    """
    options = _parse(arguments)
    return run_command("ecgexp-compare", lambda: _compare(options))


def _compare(options: argparse.Namespace) -> int:
    if options.output is not None:
        _check_output(options.output, overwrite=options.overwrite)
    a = named_run(options.run_a, "RUN_A ", store=options.store)
    b = named_run(options.run_b, "RUN_B ", store=options.store)
    found = compare_runs(
        a, b, split=options.split, num_resamples=options.num_resamples, seed=options.seed
    )
    if options.output is not None:
        _write(found, options.output)
    from ecgexp.analysis.comparison.tables import render
    from ecgexp.console import Console

    console = Console()
    console.print_result(render(found))
    console.print_result(found.verdict, style="bold")
    return NEGATIVE if found.problem else 0


def _check_output(file: Path, *, overwrite: bool = False) -> None:
    """Raises if the output exists and must not be replaced.

    Raises:
      DataError: the file exists and is not a comparison, or `--overwrite` is missing.
    """

    def is_comparison() -> bool:
        try:
            values = read_json(file, dict[str, Any], fix="use another --output, or remove it")
        except DataError:
            return False
        return {"split", "runs", "only_seed_differs"} <= values.keys()

    check_output(file, is_ours=is_comparison, kind="comparison", overwrite=overwrite)


def _write(found: RunComparison, file: Path) -> None:
    text = json.dumps(found.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        with replacing(file) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"--output {file}: the file cannot be written: {error.strerror}; use another --output"
        ) from error


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-compare", description=__doc__, example=_EXAMPLE)
    add = parser.add_argument
    parser.add_run("run_a", help="the baseline: {}")
    parser.add_run("run_b", help="the run that may be better")
    add(
        "--split",
        choices=("test", "validation"),
        default="test",
        help="the beats to compare on (%(default)s)",
    )
    add(
        "--num-resamples",
        type=whole(0, 100_000),
        default=2000,
        help="number of bootstrap resamples (%(default)s)",
        metavar="N",
    )
    add(
        "--seed",
        type=whole(0, 2**63 - 1),
        default=0,
        help="seed of the resampling (%(default)s)",
        metavar="N",
    )
    parser.add_output(help="also write the comparison to this JSON file")
    parser.add_store()
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
