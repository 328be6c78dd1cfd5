"""Find the records of a path: of a folder, a file, a glob pattern or a `RECORDS` file."""

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats import csv_signals_reader
from ecgexp.data.formats.untrusted import printable, quoted, read_file
from ecgexp.data.formats.wanted_files import Wanted, format_of, unclear_files
from ecgexp.data.formats.wfdb_header import read_record_line
from ecgexp.settings.declaration import DataError

_LIST = "RECORDS"
_TABLES = (".csv", ".tsv", ".npy", ".npz", ".parquet")
_FOR_TABLES = (
    "dataset=csv if all CSV files are signals, or dataset=arrays for beats that are cut already"
)
_WILDCARDS = "*?["
_PART = re.compile(r"\w[\w .,+=@()\-]*")
_LONGEST_PART, _LONGEST_ID = 100, 250
_LARGEST_LIST = 1 << 24  # bytes
_SHOWN = 5
# For headers that are only searched for segments.
_UNKNOWN = Database(name="", version="", title="", fs_hz=0.0, records=(), lead_names=())


@dataclass(frozen=True, kw_only=True)
class FoundRecords:
    """Records and where they are.

    Attributes:
      folder: The folder that ids are relative to.
      files: Record id (its path below `folder` without suffix, with `/`) -> the file that it is
        named after, sorted, or in the order of the `RECORDS` file.
      is_complete: Whether they are all records of the folder, and not a selection.
      refused: Record or folder -> why it is not used.
      unclear: Number of CSV files with columns of numbers that are left out, because nothing states
        that they are recordings.
    """

    folder: Path
    files: dict[str, Path]
    is_complete: bool
    refused: dict[str, str]
    unclear: int = 0


_ALL = Wanted()


def find_records(path: Path, *, setting: str, wanted: Wanted = _ALL) -> FoundRecords:
    """Find the records of a path.

    A folder is searched with all its subfolders, except hidden ones and links to folders. Headers
    that are segments of another record are no records. A `RECORDS` file lists records or
    subfolders, one in a line, relative to its folder. A glob pattern matches folders or files of
    records; `**` matches any subfolders.

    **Guarantees**: Ids are relative, without `..`, and have characters only that are safe in the
    names of files and in messages of one line (`tests/unit/data/folder/test_discovery.py`).

    Args:
      path: A folder, a record with or without suffix, a `RECORDS` file, or a glob pattern.
      setting: The path as the user wrote it, for messages, e.g. `dataset.path=recordings`.
      wanted: Which files are records.

    Returns:
      The records.

    Raises:
      DataError: There is no such path, or it has no record.
    """
    found = _find(path, setting, wanted)
    if not found.files and not found.refused:
        tables = path.is_dir() and any(each.suffix.lower() in _TABLES for each in path.iterdir())
        remedy = "a folder of recordings" if not tables or wanted.formats else _FOR_TABLES
        raise DataError(
            f"{setting}: no record was found, which would be a file "
            f"{' or '.join(wanted.suffixes)}; use {remedy}"
        )
    return found


def select_records(found: FoundRecords, names: Sequence[str]) -> FoundRecords:
    """Return the records with these ids, in this order.

    Args:
      found: All records.
      names: Ids of some of them.

    Returns:
      The selection.

    Raises:
      DataError: There is no such record; the message names some that there are.
    """
    if unknown := [name for name in names if name not in {**found.files, **found.refused}]:
        there = ", ".join(list(found.files)[:_SHOWN])
        raise DataError(
            f"dataset.records: there is no record {quoted(unknown[0])} in dataset.path; use the "
            f"path in the folder without suffix, as of {there}"
        )
    return replace(
        found,
        files={name: found.files[name] for name in names if name in found.files},
        is_complete=False,
        refused={name: why for name, why in found.refused.items() if name in names},
    )


def _find(path: Path, setting: str, wanted: Wanted) -> FoundRecords:
    if path.is_dir():
        found = _gathered(path, _in_folder(path, wanted), is_complete=True)
        return replace(found, unclear=sum(1 for _ in unclear_files(path, wanted)))
    if path.is_file():
        if wanted.has(path, is_named=True):
            return _gathered(path.parent, [path], is_complete=False)
        if record := _record_of(path.with_suffix(""), wanted):
            return _gathered(path.parent, [record], is_complete=False)  # e.g. 100.dat
        if path.suffix.lower() in _TABLES:
            raise DataError(f"{setting}: it is neither a record nor a list; use {_FOR_TABLES}")
        listed = _listed(path, setting, wanted)
        return _gathered(path.parent, listed, is_complete=True, in_order=True)
    if record := _record_of(path, wanted):
        return _gathered(path.parent, [record], is_complete=False)
    if any(char in str(path) for char in _WILDCARDS):
        parts = path.parts
        first = next(n for n, part in enumerate(parts) if any(c in part for c in _WILDCARDS))
        folder = Path(*parts[:first])
        if folder.is_dir():
            matching = _matching(folder, parts[first:], wanted)
            return _gathered(folder, matching, is_complete=False)
    raise DataError(
        f"{setting}: there is no such folder, record, {_LIST} file or match of a pattern; use the "
        "folder of the recordings, e.g. dataset.path=recordings"
    )


def _record_of(stem: Path, wanted: Wanted) -> Path | None:
    for suffix in wanted.suffixes:
        for spelled in (suffix, suffix.upper()):
            path = stem.with_name(stem.name + spelled)
            if path.is_file() and wanted.has(path, is_named=True):
                return path
    return None


def _in_folder(folder: Path, wanted: Wanted) -> Iterator[Path]:
    """Yield the records of a folder and its subfolders."""
    for place, subfolders, names in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        visible = (Path(place, name) for name in sorted(names) if not name.startswith("."))
        paths = list(filter(wanted.has, visible))
        segments = {name for path in paths for name in _segments_of(path)}
        yield from (path for path in paths if path.stem not in segments)


def _segments_of(path: Path) -> tuple[str, ...]:
    if path.suffix != ".hea":
        return ()
    try:
        return tuple(name for name, _ in read_record_line(path, _UNKNOWN).segments)
    except DataError:  # raised again when the record is read
        return ()


def _matching(folder: Path, pattern: Sequence[str], wanted: Wanted) -> Iterator[Path]:
    """Yield the records of a glob pattern; unlike `glob`, links to folders are not followed."""
    depth = None if "**" in pattern else len(pattern)
    is_named = pattern[-1].lower().endswith(csv_signals_reader.SUFFIX)
    for place, subfolders, names in os.walk(folder):
        here = Path(place).relative_to(folder).parts
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in list(subfolders):
            if _matches((*here, name), pattern):
                yield from _in_folder(Path(place, name), wanted)
                subfolders.remove(name)
        for name in names:
            if not name.startswith(".") and _matches((*here, name), pattern):
                path = Path(place, name)
                if wanted.has(path, is_named=is_named):
                    yield path
                elif format_of(path) != "csv" and (
                    record := _record_of(path.with_suffix(""), wanted)
                ):
                    yield record
        if depth is not None and len(here) + 1 >= depth:
            subfolders.clear()


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the parts of a path match those of a pattern; `**` matches any number."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return (
        len(parts) > 0
        and fnmatch.fnmatchcase(parts[0], pattern[0])
        and _matches(parts[1:], pattern[1:])
    )


def listed_names(folder: Path, database: Database) -> tuple[str, ...]:
    """Return the names in the file `RECORDS` of a database, in its order.

    Args:
      folder: Folder of the database.
      database: Gives the remedy.

    Returns:
      The names, which are not checked.

    Raises:
      DataError: The file is missing, no text, or empty.
    """
    content = read_file(folder / _LIST, database, largest=_LARGEST_LIST)
    names = content.decode("utf-8-sig", errors="replace").split()
    if not names:
        raise DataError(f"{folder / _LIST} lists no record; {database.fix}")
    return tuple(names)


def _listed(path: Path, setting: str, wanted: Wanted) -> Iterator[Path]:
    """Yield the records that a `RECORDS` file lists, in its order."""
    content = read_file(path, _UNKNOWN, largest=_LARGEST_LIST)
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{setting}: it is not a text file that lists records; use a folder or a {_LIST} file"
        ) from error
    for number, line in enumerate(lines, start=1):
        name = line.strip()
        if not name:
            continue
        stem = path.parent / name
        if not _is_below(Path(name)):
            raise DataError(
                f"{setting}: line {number} names {quoted(name)}, which is not a path below its "
                "folder; list names such as 100 or part1/100"
            )
        if name.endswith("/") or stem.is_dir():
            has_list = (stem / _LIST).is_file()
            yield from (
                _listed(stem / _LIST, setting, wanted) if has_list else _in_folder(stem, wanted)
            )
        else:
            # A file that is missing is reported when the record is read.
            is_file = stem.suffix.lower() in wanted.suffixes
            record = stem if is_file else _record_of(stem, wanted)
            yield record or stem.with_name(f"{stem.name}.hea")


def _is_below(name: Path) -> bool:
    return not name.is_absolute() and ".." not in name.parts


def _gathered(
    folder: Path, paths: Iterable[Path], *, is_complete: bool, in_order: bool = False
) -> FoundRecords:
    """Name the records, and refuse those whose names are not safe or not unique.

    Args:
      folder: The folder that ids are relative to.
      paths: Files that records are named after, below `folder`.
      is_complete: See `FoundRecords`.
      in_order: Keep the order of `paths`; else they are sorted.

    Returns:
      The records.
    """
    files: dict[str, Path] = {}
    refused: dict[str, str] = {}
    for path in paths if in_order else sorted(paths):
        record_id = path.relative_to(folder).with_suffix("").as_posix()
        if len(record_id) > _LONGEST_ID or not all(map(_is_safe, record_id.split("/"))):
            refused[printable(record_id)] = (
                f"the name {quoted(record_id)} is refused: letters, digits, spaces and .,+=@()-_ "
                "are allowed, and the first character is a letter, a digit or _; rename the file "
                "or folder"
            )
        elif files.setdefault(record_id, path) != path:
            refused[f"{record_id}{path.suffix}"] = (
                f"{path.name} and {files[record_id].name} are records of the same name; rename or "
                "move one of them, or choose by dataset.formats"
            )
    return FoundRecords(folder=folder, files=files, is_complete=is_complete, refused=refused)


def _is_safe(part: str) -> bool:
    return len(part) <= _LONGEST_PART and _PART.fullmatch(part) is not None
