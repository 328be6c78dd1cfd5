"""Download a database from PhysioNet and verify it; an interrupted download is resumed."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ecgexp.cli.arguments import Parser, run_command
from ecgexp.cli.streams import command
from ecgexp.config.location import own_folder
from ecgexp.console import Console
from ecgexp.data.datasets.catalog import published_databases, read_own_database
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
    if options.config_dir is not None:
        entry = read_own_database(own_folder(options.config_dir), options.database)
    elif (entry := published_databases().get(options.database)) is None:
        raise ConfigError(
            f"DATABASE {options.database}: it is not described here; use one of "
            f"{', '.join(published_databases())}, or --config-dir DIR with "
            "DIR/database/NAME.yaml"
        )
    use_server(options.mirror)
    with Console().progress_bar(options.database) as progress_bar:
        folder = download(
            entry, options.output, records=tuple(options.records or ()), on_progress=progress_bar
        )
    print(f"{entry.title} {entry.version} is in {folder}; all files are verified.")
    if entry.license:
        print(f"License: {entry.license}.")
    if entry.doi:
        print(f"Cite it as stated on https://doi.org/{entry.doi}.")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-fetch", description=__doc__, example=_EXAMPLE)
    add = parser.add_argument
    add("database", metavar="DATABASE", help=f"{', '.join(published_databases())}, or your own")
    add(
        "--output",
        type=Path,
        default=Path(os.environ.get("ECGEXP_DATA", "data")),
        metavar="DIR",
        help="data.root= of the runs (ECGEXP_DATA, else data)",
    )
    add("--config-dir", metavar="DIR", help="your own folder, with database/DATABASE.yaml")
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
