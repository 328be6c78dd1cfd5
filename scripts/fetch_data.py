"""Download a database from PhysioNet and verify it, e.g. `scripts/fetch_data.py mitdb`."""

import argparse
import os
import sys
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ecgexp.cli.streams import command
from ecgexp.data.datasets.catalog import DATABASES, find_database
from ecgexp.data.formats.download import PHYSIONET, download
from ecgexp.settings.declaration import ConfigError, DataError


@command
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", choices=sorted(DATABASES))
    parser.add_argument(
        "--root", type=Path, default=Path(os.environ.get("ECGEXP_DATA", "data")), help="%(default)s"
    )
    parser.add_argument("--records", nargs="+", help="only these records")
    parser.add_argument(
        "--mirror", default=PHYSIONET, help="server with the same folders (%(default)s)"
    )
    arguments = parser.parse_args()
    try:
        folder = _fetch(arguments)
    except (ConfigError, DataError) as error:
        print(f"fetch_data: {error}", file=sys.stderr)
        return 2
    entry = find_database(arguments.database)
    print(f"{entry.title} {entry.version} is in {folder}; all files are verified.")
    print(f"License: {entry.license}. Cite it as stated on https://doi.org/{entry.doi}.")
    return 0


def _fetch(arguments: argparse.Namespace) -> Path:
    from wfdb.io.download import set_db_index_url

    set_db_index_url(arguments.mirror)
    entry = find_database(arguments.database)
    if unknown := set(arguments.records or ()) - set(entry.records):
        raise ConfigError(
            f"--records {' '.join(sorted(unknown))}: {entry} has no such record; use some of "
            f"{' '.join(entry.records)}"
        )
    columns = (
        TextColumn("{task.description:>12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task(arguments.database, total=None)
        return download(
            entry,
            arguments.root,
            records=tuple(arguments.records) if arguments.records else None,
            on_progress=lambda done, total, what: bar.update(
                task, completed=done, total=total, description=what
            ),
        )


if __name__ == "__main__":
    sys.exit(main())
