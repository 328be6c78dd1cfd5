"""Download a database from PhysioNet; only complete and verified files get their names."""

import contextlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from ecgexp.data.datasets.catalog import Database, parse_sha256sums
from ecgexp.data.formats.discovery import listed_names
from ecgexp.data.formats.untrusted import check_record_name
from ecgexp.data.formats.wfdb_reader import files_of, read_record
from ecgexp.data.preprocessing.settings import OnProgress
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.digests import file_sha256

PHYSIONET = "https://physionet.org/files/"
_CONNECTIONS = 2  # as wfdb.dl_files, so as not to overload the server
_SUMS = "SHA256SUMS.txt"

Fetch = Callable[[str, str, Path], None]
"""Downloads the file `name` of the remote folder `slug` into a local folder.

It resumes an incomplete download.
"""


def use_server(url: str) -> None:
    """Download from `url`, a server with PhysioNet's folders, for the rest of this process.

    Raises:
      ConfigError: it is not an address of a server.
    """
    try:
        parts = urlsplit(url)
        is_server = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_server = False
    if not is_server:
        raise ConfigError(f"--mirror {url}: not an address of a server; use e.g. {PHYSIONET}")
    from wfdb.io.download import set_db_index_url

    set_db_index_url(url)


def fetch_with_wfdb(slug: str, name: str, folder: Path) -> None:
    """Download one file with wfdb, which resumes an incomplete download.

    `wfdb.dl_files` is not used: it downloads the latest version and writes under the final name.

    Args:
      slug: Remote folder, with the version.
      name: File name.
      folder: Local folder.
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
    """Download a database below `root` and verify it.

    An interrupted call can be repeated: files that are present and correct are not downloaded
    again. At the end every record is read and compared with its header.

    **Guarantees**: A file gets its name only after its SHA-256 was compared with the one that
    PhysioNet publishes; until then it is in the folder `.part`
    (`tests/unit/data/test_download.py`).

    Args:
      database: The database.
      root: The data root; files are written to `root/<name>/<version>`.
      records: Records to download; None: all that have signals and beats, or those that its file
        `RECORDS` lists.
      fetch: Downloads one file.
      on_progress: Called with `(done, total, what)`.

    Returns:
      The folder of the files.

    Raises:
      DataError: The server cannot be reached, or sends other content than it publishes.
      ConfigError: There is no such record, or the database is not published on PhysioNet.
    """
    if not database.slug:
        raise ConfigError(
            f"{database.name}: it has no slug, so it is not published on PhysioNet; copy its files "
            f"below {root / database.name}"
        )
    folder = root / database.slug
    part = folder / ".part"
    part.mkdir(parents=True, exist_ok=True)
    sums = database.published_sha256() or _fetch_sums(database, part, fetch)
    if (listed := database.records) is None:
        _bring(database, folder / "RECORDS", part, sums, fetch)
        listed = listed_names(folder, database)
    if unknown := sorted(set(records or ()) - set(listed)):
        raise ConfigError(
            f"--records {' '.join(unknown)}: {database} has no such record; use some of "
            f"{' '.join(listed)}"
        )
    records = records or tuple(name for name in listed if database.why_left_out(name) is None)
    for record in records:
        check_record_name(record)
    names = ["RECORDS", *(path.name for record in records for path in files_of(folder, record))]
    report = on_progress or (lambda done, total, what: None)
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        jobs = [pool.submit(_bring, database, folder / name, part, sums, fetch) for name in names]
        try:
            for done, (name, job) in enumerate(zip(names, jobs, strict=True)):
                report(done, len(names), name)
                job.result()
        except BaseException:
            # Downloads in progress are finished, the others are left to the next call.
            pool.shutdown(cancel_futures=True)
            raise
    report(len(names), len(names), "checking")
    for record in records:
        read_record(folder, record, database)
    (part / _SUMS).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not empty: another call can resume the files in it
        part.rmdir()
    return folder


def _bring(
    database: Database, path: Path, part: Path, sums: Mapping[str, str], fetch: Fetch
) -> None:
    expected = sums.get(path.name)
    if expected is None:
        raise DataError(
            f"{path.name} is not among the files that PhysioNet publishes in {database}; check the "
            "names of the records"
        )
    if path.is_file() and file_sha256(path) == expected:
        return
    partial = part / path.name
    _fetch(database, path.name, part, fetch)
    if file_sha256(partial) != expected:
        partial.unlink()
        raise DataError(
            f"{path.name} as downloaded does not have the SHA-256 that PhysioNet publishes in "
            f"{database}, and was deleted; {database.fix}"
        )
    os.replace(partial, path)


def _fetch_sums(database: Database, part: Path, fetch: Fetch) -> Mapping[str, str]:
    (part / _SUMS).unlink(missing_ok=True)  # of an earlier call, possibly outdated
    _fetch(database, _SUMS, part, fetch)
    try:
        return parse_sha256sums((part / _SUMS).read_text("utf-8"))
    except ValueError as error:
        (part / _SUMS).unlink()
        raise DataError(
            f"{_SUMS} as downloaded is not a list of digests, and was deleted; {database.fix}, "
            "or use another server (--mirror)"
        ) from error


def _reason(error: BaseException) -> BaseException:
    """Return the error that a library's errors contain: `requests` nests those of the network."""
    inner = getattr(error, "reason", error.args[0] if error.args else None)
    return _reason(inner) if isinstance(inner, BaseException) else error


def _fetch(database: Database, name: str, part: Path, fetch: Fetch) -> None:
    try:
        fetch(database.slug, name, part)
    except OSError as error:  # raised by requests, wfdb and file access
        raise DataError(
            f"{database.slug}/{name} could not be downloaded ({_reason(error)}); {database.fix} "
            "again with a connection and free disk space, which resumes the download, or unpack "
            f"the zip file of https://physionet.org/content/{database.slug}/ below "
            f"{part.parent.parent.parent}"
        ) from error
