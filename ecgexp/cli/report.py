"""`ecgexp-report`: one HTML page about finished runs, which needs no network and can be sent as it is."""

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console

from ecgexp.cli.arguments import Parser
from ecgexp.cli.streams import command
from ecgexp.settings.declaration import DataError
from ecgexp.settings.redaction import redact, redact_tracebacks
from ecgexp.storage.atomic import replacing
from ecgexp.storage.reading import MissingFileError, open_plain
from ecgexp.storage.scratch import use_own_scratch

_OURS, _HEAD = b'content="ecgexp-report"', 4096  # stands near the beginning of a page


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script: 0, 2 for an argument that cannot be used, 1 for runs that are not there."""
    redact_tracebacks()
    options = _parse(arguments)
    use_own_scratch()
    try:
        for line in write(options):
            Console().print(line, markup=False, highlight=False, soft_wrap=True)
    except DataError as error:
        print(redact(f"ecgexp-report: {error}"), file=sys.stderr)
        return 1
    return 0


def write(options: argparse.Namespace) -> list[str]:
    """Writes the page and keeps it with the parent run, if that is in MLflow; returns what was done, in words.

    Raises:
      DataError: there are no such runs, or the page cannot be written.
    """
    from ecgexp.analysis.report.gather import choose, gather
    from ecgexp.analysis.report.page import render

    _check_output(options.output)
    selected = choose(
        parent=options.parent, experiment=options.experiment, filter_string=options.filter, uri=options.store
    )  # fmt: skip
    gathered = gather(selected)
    page = render(gathered, made=datetime.now().astimezone(), public=options.public)
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        with replacing(options.output) as part:
            part.write_text(page, encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"--output {options.output} cannot be written: {error.strerror}") from error
    failed = f", {len(gathered.failures)} that failed" if gathered.failures else ""
    done = [
        f"{options.output}: {gathered.title}, {len(gathered.rows)} runs in {len(gathered.configurations)} configurations{failed}"
    ]
    if selected.parent is not None and not Path(options.parent).is_dir():
        from ecgexp.tracking.mlflow.attach import attach

        attach(selected.parent.run_id, page, "report.html", uri=options.store)
        done.append(f"kept as report.html of run {selected.parent.run_id}")
    return done


def _check_output(file: Path) -> None:
    """A report may be made again under its name; any other file stays.

    Raises:
      DataError: another file, or a folder, is there.
    """
    try:
        with open_plain(file, fix="use another --output") as there:
            is_ours = _OURS in there.read(_HEAD)
    except MissingFileError:
        return
    if not is_ours:
        raise DataError(
            f"--output {file}: the file is there and is no report; use another --output, or remove it"
        )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-report", description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--parent", metavar="RUN", help="the MLflow id of a sweep's parent run, or a sweep's folder"
    )
    which.add_argument(
        "--experiment", metavar="NAME", help="all runs of this experiment (that of the newest run)"
    )
    which.add_argument(
        "--filter", metavar="TEXT", help="the runs that this finds, in MLflow's search language"
    )
    add = parser.add_argument
    add(
        "--store",
        metavar="URI",
        help="where the runs are (MLFLOW_TRACKING_URI, else sqlite:///mlruns/mlflow.db)",
    )
    add("--output", metavar="FILE", type=Path, default=Path("report.html"), help="%(default)s")
    add(
        "--public",
        action="store_true",
        help="leave out what was computed from private data without noise",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
