"""Check what runs need on this machine, and print what is missing and how to fix it."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from ecgexp.cli import doctor_checks
from ecgexp.cli.arguments import NEGATIVE, Parser, run_command
from ecgexp.cli.clean import OPTIONS, add_options, clean
from ecgexp.cli.doctor_checks import Finding, Settings
from ecgexp.cli.plugin_checks import check_plugins
from ecgexp.cli.streams import command
from ecgexp.console import Console
from ecgexp.settings.installation import FEDERATED_REQUIREMENTS, to_type

_EXAMPLE = """\
ecgexp-doctor
ecgexp-doctor --data-root ~/physionet --close-stale
ecgexp-doctor --clean --free runs --older-than 30
ecgexp-doctor --federated-requirements"""
_MARKS = {"good": "[green]✓[/]", "note": "[yellow]![/]", "bad": "[red]✗[/]"}
_CHECKS: tuple[tuple[str, Callable[[Settings], Iterator[Finding]]], ...] = (
    ("reading versions", doctor_checks.check_versions),
    ("measuring the machine", doctor_checks.check_machine),
    ("querying TensorFlow devices", doctor_checks.check_devices),
    ("importing plug-ins", check_plugins),
    ("looking for data", doctor_checks.check_data),
    ("opening the MLflow store", doctor_checks.check_store),
)


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script.

    Returns:
      0 if runs can work on this machine, 1 if something essential is missing.
    """
    options = _parse(arguments)
    if options is None:
        print(FEDERATED_REQUIREMENTS)
        return 0
    if isinstance(options, argparse.Namespace):
        return run_command("ecgexp-doctor", lambda: clean(options))
    return run_command("ecgexp-doctor", lambda: _examine(options))


def _examine(options: Settings) -> int:
    console = Console()
    findings: list[Finding] = []
    with console.messages.status("") as status:
        for activity, check in _CHECKS:
            status.update(f"{activity} …")
            findings += check(options)
    console.print_result(report(findings))
    bad = sum(finding.state == "bad" for finding in findings)
    if bad:
        console.print_result(f"{bad} to fix before runs can work", style="red")
    else:
        console.print_result(f"Ready: `{to_type('ecgexp')}` will work on this machine.")
    return NEGATIVE if bad else 0


def report(findings: Sequence[Finding]) -> Table:
    """Returns the findings as a table, one row each."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for style in ("", "bold", ""):
        table.add_column(style=style, overflow="fold")
    for finding in findings:
        advice = f"; [cyan]{escape(finding.advice)}[/]" if finding.advice else ""
        found = f"{escape(finding.found)}{advice}"
        table.add_row(_MARKS[finding.state], escape(finding.what), found)
    return table


def _parse(arguments: Sequence[str] | None) -> Settings | argparse.Namespace | None:
    """Returns what to check; the options of `--clean` if that is given.

    None if only the path of the federated requirements is printed.
    """
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
        help="folder that is searched for runs (%(default)s)",
    )
    add(
        "--close-stale",
        action="store_true",
        help="mark runs as KILLED that are stored as RUNNING but whose process has ended",
    )
    parser.add_store()
    add(
        "--federated-requirements",
        action="store_true",
        help="print only the path of the requirements of federated training, which pip installs "
        'with: pip install --no-deps -r "$(ecgexp-doctor --federated-requirements)"',
    )
    add_options(parser)
    given = parser.parse_args(arguments)
    if given.clean:
        return given
    if given.free is not None:
        parser.error(f"--free {given.free}: it belongs to --clean; use --clean --free {given.free}")
    options: dict[str, Any] = {
        name: value for name, value in vars(given).items() if name not in OPTIONS
    }
    if options.pop("federated_requirements"):
        return None
    from ecgexp.tracking.mlflow.existing_store import default_uri

    options["store"] = options["store"] or default_uri()
    return Settings(**options)


if __name__ == "__main__":
    sys.exit(main())
