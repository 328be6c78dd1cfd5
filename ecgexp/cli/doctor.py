"""`ecgexp-doctor`: what a run needs on this machine, whether it is there, and what to do where it is not."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ecgexp.cli import doctor_checks
from ecgexp.cli.doctor_checks import Finding, Settings
from ecgexp.cli.streams import command
from ecgexp.cli.ui import DEFAULT_STORE
from ecgexp.settings.redaction import redact_tracebacks
from ecgexp.storage.scratch import use_own_scratch

_MARKS = {"good": "[green]✓[/]", "note": "[yellow]![/]", "bad": "[red]✗[/]"}
_CHECKS: tuple[tuple[str, Callable[[Settings], Iterator[Finding]]], ...] = (
    ("reading versions", doctor_checks.check_versions),
    ("measuring the machine", doctor_checks.check_machine),
    ("asking TensorFlow for devices", doctor_checks.check_devices),
    ("looking for data", doctor_checks.check_data),
    ("opening the MLflow store", doctor_checks.check_store),
)


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script: 0 if runs can work here, 1 if something essential is missing."""
    redact_tracebacks()
    options = _parse(arguments)
    use_own_scratch()
    console = Console()
    findings: list[Finding] = []
    with console.status("") as status:
        for says, check in _CHECKS:
            status.update(f"{says} …")
            findings += check(options)
    console.print(report(findings))
    bad = sum(finding.state == "bad" for finding in findings)
    console.print(
        f"[red]{bad} to mend before runs can work[/]"
        if bad
        else "Ready: `uv run ecgexp` will work here."
    )
    return 1 if bad else 0


def report(findings: Sequence[Finding]) -> Table:
    """The findings as a table, one row each."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for style in ("", "bold", "", "cyan"):
        table.add_column(style=style, overflow="fold")
    for finding in findings:
        table.add_row(
            _MARKS[finding.state], *map(escape, (finding.what, finding.found, finding.advice))
        )
    return table


def _parse(arguments: Sequence[str] | None) -> Settings:
    parser = argparse.ArgumentParser(prog="ecgexp-doctor", description=__doc__)
    data, store = (
        os.environ.get("ECGEXP_DATA", "data"),
        os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_STORE),
    )
    parser.add_argument(
        "--data-root",
        type=Path,
        default=Path(data),
        help="data.root= of the runs; ECGEXP_DATA, else data",
    )
    parser.add_argument(
        "--store",
        default=store,
        help=f"tracking.uri= of the runs; MLFLOW_TRACKING_URI, else {DEFAULT_STORE}",
    )
    parser.add_argument(
        "--outputs",
        type=Path,
        default=Path("outputs"),
        help="where run directories go (%(default)s)",
    )
    parser.add_argument(
        "--close-stale",
        action="store_true",
        help="mark runs KILLED that say RUNNING without their process",
    )
    return Settings(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
