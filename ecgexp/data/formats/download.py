"""Fetches a database from PhysioNet: whole files under their names, or nothing."""

import contextlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ecgexp.data.datasets.catalog import Database, parse_sha256sums
from ecgexp.data.formats.wfdb_reader import files_of, read_record
from ecgexp.data.preprocessing.settings import OnProgress
from ecgexp.settings.declaration import DataError
from ecgexp.storage.digests import file_sha256

PHYSIONET = "https://physionet.org/files/"
_CONNECTIONS = 2  # as wfdb.dl_files, so as not to overload the server
_SUMS = "SHA256SUMS.txt"

Fetch = Callable[[str, str, Path], None]
"""Fetches the file `name` of the remote folder `slug` into a local folder; goes on where an earlier try stopped."""


def fetch_with_wfdb(slug: str, name: str, folder: Path) -> None:
    """One file through wfdb; what is there already, whole or in part, is not fetched again.

    `wfdb.dl_files` is not used: it takes whatever version is the latest and writes under the final name.
    """
    from wfdb.io.download import dl_pn_file

    dl_pn_file((name, "", slug, str(folder), False, False))


def download(
    database: Database,
    root: Path,
    *,
    records: tuple[str, ...] | None = None,
    fetch: Fetch = fetch_with_wfdb,
    on_progress: OnProgress | None = None,
) -> Path:
    """Fetches a database below `root` and verifies it.

    Files arrive in a folder `.part`, are compared with PhysioNet's SHA-256 and only then moved under their names; files
    that are there and right are left alone, so an interrupted call is simply repeated. At the end every record is read
    and checked against its header.

    Args:
      database: what to fetch.
      root: the data root; files go to `root/<name>/<version>`.
      records: only these; None: all.
      fetch: fetches one file.
      on_progress: told `(done, total, what)`.

    Returns:
      The folder with the files.

    Raises:
      DataError: the server cannot be reached, or sends something else than it publishes.
    """
    records = records or database.records
    folder = root / database.slug
    part = folder / ".part"
    part.mkdir(parents=True, exist_ok=True)
    sums = database.published_sha256() or _fetch_sums(database, part, fetch)
    names = ["RECORDS", *(path.name for record in records for path in files_of(folder, record))]
    tell = on_progress or (lambda done, total, what: None)
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        jobs = [pool.submit(_bring, database, folder / name, part, sums, fetch) for name in names]
        try:
            for done, (name, job) in enumerate(zip(names, jobs, strict=True)):
                tell(done, len(names), name)
                job.result()
        except BaseException:
            pool.shutdown(
                cancel_futures=True
            )  # the files under way are finished, the rest is left for the next call
            raise
    tell(len(names), len(names), "checking")
    for record in records:
        read_record(folder, record, database)
    (part / _SUMS).unlink(missing_ok=True)
    with contextlib.suppress(
        OSError
    ):  # not empty: what another, interrupted call left there is still of use
        part.rmdir()
    return folder


def _bring(
    database: Database, path: Path, part: Path, sums: Mapping[str, str], fetch: Fetch
) -> None:
    expected = sums.get(path.name)
    if expected is None:
        raise DataError(f"{path.name} is not among the files PhysioNet publishes in {database}")
    if path.is_file() and file_sha256(path) == expected:
        return
    partial = part / path.name
    _fetch(database, path.name, part, fetch)
    if file_sha256(partial) != expected:
        partial.unlink()
        raise DataError(
            f"{path.name} came from the server with another SHA-256 than PhysioNet publishes in {database}; nothing "
            f"was kept of it. Try again: {database.fix}"
        )
    os.replace(partial, path)


def _fetch_sums(database: Database, part: Path, fetch: Fetch) -> Mapping[str, str]:
    (part / _SUMS).unlink(missing_ok=True)  # an older one must not decide
    _fetch(database, _SUMS, part, fetch)
    return parse_sha256sums((part / _SUMS).read_text("utf-8"))


def _fetch(database: Database, name: str, part: Path, fetch: Fetch) -> None:
    try:
        fetch(database.slug, name, part)
    except OSError as error:  # what requests, wfdb and the disk raise
        raise DataError(
            f"{database.slug}/{name} could not be fetched ({error}). Files that arrived are kept: repeat "
            f"{database.fix} when there is a connection and room, or unpack the zip of "
            f"https://physionet.org/content/{database.slug}/ below {part.parent.parent.parent}"
        ) from error
