"""Download a database from PhysioNet and verify it; an interrupted download is resumed."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ecgexp.cli.arguments import Parser, run_command
from ecgexp.cli.streams import command
from ecgexp.console import Console
from ecgexp.data.datasets.catalog import DATABASES, find_database
from ecgexp.data.formats.download import PHYSIONET, download, use_server
from ecgexp.settings.declaration import ConfigError

_EXAMPLE = """\
ecgexp-fetch mitdb
ecgexp-fetch svdb --output ~/physionet --records 800 801"""


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script.

    Returns:
      0, or 2 for an error.
    """
    options = _parse(arguments)
    return run_command("ecgexp-fetch", lambda: _fetch(options))


def _fetch(options: argparse.Namespace) -> int:
    entry = find_database(options.database)
    if unknown := sorted(set(options.records or ()) - set(entry.records)):
        raise ConfigError(
            f"--records {' '.join(unknown)}: {entry} has no such record; use some of "
            f"{' '.join(entry.records)}"
        )
    use_server(options.mirror)
    with Console().progress_bar(options.database) as progress_bar:
        folder = download(
            entry, options.output, records=tuple(options.records or ()), on_progress=progress_bar
        )
    print(f"{entry.title} {entry.version} is in {folder}; all files are verified.")
    print(f"License: {entry.license}. Cite it as stated on https://doi.org/{entry.doi}.")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-fetch", description=__doc__, example=_EXAMPLE)
    add = parser.add_argument
    add("database", choices=sorted(DATABASES), metavar="DATABASE", help="%(choices)s")
    add(
        "--output",
        type=Path,
        default=Path(os.environ.get("ECGEXP_DATA", "data")),
        metavar="DIR",
        help="data.root= of the runs (ECGEXP_DATA, else data)",
    )
    add("--records", nargs="+", metavar="RECORD", help="only these records")
    add(
        "--mirror",
        default=PHYSIONET,
        metavar="URL",
        help="server with the same folders (%(default)s)",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
