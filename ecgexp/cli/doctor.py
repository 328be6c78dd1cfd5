"""Show what a run needs on this machine, whether it is there, and what to do where it is not."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ecgexp.cli import doctor_checks
from ecgexp.cli.arguments import NEGATIVE, Parser, run_command
from ecgexp.cli.doctor_checks import Finding, Settings
from ecgexp.cli.streams import command

_EXAMPLE = """\
ecgexp-doctor
ecgexp-doctor --data-root ~/physionet --close-stale"""
_UNWRAPPED = 10_000  # columns
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
    options = _parse(arguments)
    return run_command("ecgexp-doctor", lambda: _examine(options))


def _examine(options: Settings) -> int:
    # Redirected, a row is one line, so that a path in it can be searched for and copied.
    console = Console() if sys.stdout.isatty() else Console(width=_UNWRAPPED)
    findings: list[Finding] = []
    with console.status("") as status:
        for says, check in _CHECKS:
            status.update(f"{says} …")
            findings += check(options)
    console.print(report(findings))
    bad = sum(finding.state == "bad" for finding in findings)
    console.print(
        f"[red]{bad} to fix before runs can work[/]"
        if bad
        else "Ready: `uv run ecgexp` will work here."
    )
    return NEGATIVE if bad else 0


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
    parser = Parser(prog="ecgexp-doctor", description=__doc__, example=_EXAMPLE)
    add = parser.add_argument
    data = Path(os.environ.get("ECGEXP_DATA", "data"))
    add(
        "--data-root",
        type=Path,
        default=data,
        metavar="DIR",
        help="data.root= of the runs (ECGEXP_DATA, else data)",
    )
    add(
        "--runs-dir",
        type=Path,
        default=Path("outputs"),
        metavar="DIR",
        help="where runs are looked for (%(default)s)",
    )
    add(
        "--close-stale",
        action="store_true",
        help="mark runs KILLED that say RUNNING without their process",
    )
    parser.add_store()
    options = vars(parser.parse_args(arguments))
    from ecgexp.tracking.mlflow.existing_store import default_uri

    return Settings(**options | {"store": options["store"] or default_uri()})


if __name__ == "__main__":
    sys.exit(main())
