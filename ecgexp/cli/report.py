"""Write one self-contained HTML page about finished runs; it needs no network."""

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from ecgexp.cli.arguments import Parser, check_output, run_command
from ecgexp.cli.run_argument import named_runs, naming
from ecgexp.cli.streams import command
from ecgexp.console import Console
from ecgexp.formatting import number_text
from ecgexp.settings.declaration import DataError
from ecgexp.storage.atomic import replacing
from ecgexp.storage.reading import MissingFileError, open_plain

_FULL_PAGE, _PUBLIC_PAGE = "report.html", "report-public.html"
# Markers of a page that this command wrote, both within its first _HEAD bytes.
_OURS, _PUBLIC, _HEAD = b'content="ecgexp-report"', b'name="ecgexp-public"', 4096
_EXAMPLE = """\
ecgexp-report outputs/ecgexp/2026-01-31_12-00-00-000000_sweep
ecgexp-report --experiment ecgexp --public --output public/report.html
ecgexp-report --filter 'metrics.`test/macro_f1` > 0.5'"""


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script.

    Returns:
      0, or 2 for an error.
    """
    options = _parse(arguments)
    return run_command("ecgexp-report", lambda: _report(options))


def _report(options: argparse.Namespace) -> int:
    for line in write(options):
        Console().print_result(line)
    return 0


def write(options: argparse.Namespace) -> list[str]:
    """Writes the page, also as an artifact of the parent run if that is in MLflow.

    Args:
      options: the parsed command line.

    Returns:
      One sentence for each thing that was done.

    Raises:
      DataError: there are no such runs, or the page cannot be written.
    """
    from ecgexp.analysis.report.gather import choose, gather
    from ecgexp.analysis.report.page import render

    _check_output(options.output, public=options.public, overwrite=options.overwrite)
    run: str | None = options.run
    if run is not None:
        run = named_runs(run, "RUN ", store=options.store)
    with naming(run, "RUN "):
        selected = choose(
            parent=run,
            experiment=options.experiment,
            filter_string=options.filter,
            uri=options.store,
        )
    gathered = gather(selected)
    page = render(gathered, made=datetime.now().astimezone(), public=options.public)
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        with replacing(options.output) as part:
            part.write_text(page, encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(
            f"--output {options.output}: the page cannot be written: {error.strerror}; use another "
            "--output"
        ) from error
    failed = f", {len(gathered.failures)} that failed" if gathered.failures else ""
    done = [
        f"{options.output}: {gathered.title}, {number_text(len(gathered.rows), 'run')} in "
        f"{number_text(len(gathered.configurations), 'configuration')}{failed}"
    ]
    if selected.parent is not None and run is not None and not Path(run).is_dir():
        from ecgexp.tracking.mlflow.attach import attach

        name = _PUBLIC_PAGE if options.public else _FULL_PAGE
        attach(selected.parent.run_id, page, name, uri=options.store)
        done.append(f"stored as {name} of run {selected.parent.run_id}")
    return done


def _check_output(file: Path, *, public: bool, overwrite: bool = False) -> None:
    """Raises if the output exists and must not be replaced.

    **Guarantees** (`tests/unit/analysis/report/test_main.py`): a report with all values never
    replaces a public report, which may have been linked or sent already, and a public report never
    replaces one with all values.

    Raises:
      DataError: the file exists and is not a report, is a report of the other kind, or
        `--overwrite` is missing.
    """
    try:
        with open_plain(file, fix="use another --output") as there:
            head = there.read(_HEAD)
    except MissingFileError:
        return
    check_output(file, is_ours=lambda: _OURS in head, kind="report", overwrite=overwrite)
    if (_PUBLIC in head) != public:
        which, other = (
            ("a report with all values", "public")
            if public
            else ("a public report", "with all values")
        )
        raise DataError(
            f"--output {file}: {which} is there, and the new one is {other}; use another --output, "
            "or remove the file"
        )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-report", description=__doc__, example=_EXAMPLE)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "run",
        nargs="?",
        metavar="RUN",
        help="a sweep or a single run: its folder, its MLflow id or the id's beginning, or latest",
    )
    which.add_argument(
        "--experiment",
        metavar="NAME",
        help="all runs of this MLflow experiment (that of the newest run)",
    )
    which.add_argument(
        "--filter",
        metavar="TEXT",
        help="all runs that match this filter, in MLflow's search language",
    )
    parser.add_argument(
        "--public",
        action="store_true",
        help="leave out values that were computed from private data without noise",
    )
    parser.add_output(help=f"the page ({_FULL_PAGE}; with --public {_PUBLIC_PAGE})")
    parser.add_store()
    options = parser.parse_args(arguments)
    if options.output is None:
        options.output = Path(_PUBLIC_PAGE if options.public else _FULL_PAGE)
    return options


if __name__ == "__main__":
    sys.exit(main())
