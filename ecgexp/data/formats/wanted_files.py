"""Which files of a folder are records, by their names and, for CSV files, by their first lines."""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ecgexp.console import NOTE
from ecgexp.data.formats import csv_signals_reader
from ecgexp.data.formats.csv_layout import CsvLayout
from ecgexp.data.formats.edf_reader import SUFFIXES as EDF_SUFFIXES
from ecgexp.data.formats.record import Format

SUFFIXES_OF: Mapping[Format, tuple[str, ...]] = MappingProxyType(
    {"wfdb": (".hea",), "edf": EDF_SUFFIXES, "csv": (csv_signals_reader.SUFFIX,)}
)
"""Format -> suffixes of the file that a record is named after, in lower case."""

_IN_NUMBERS = set(b"-+0123456789.,;eE \t")
_ENOUGH_LINES = 5
_LONGEST_LINE = 1 << 16  # bytes
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which files are records.

    A CSV file is one if it is named alone or by a glob pattern that ends with `.csv`, if `formats`
    names `csv`, or if it looks like one (`csv_signals_reader.is_recording`).

    Attributes:
      formats: Formats that are searched for; None: all.
      csv: What the columns of CSV files mean; tables of annotations are no records.
      no_records: CSV files that are no records, such as that of the patients.
    """

    formats: tuple[Format, ...] | None = None
    csv: CsvLayout = CsvLayout()
    no_records: tuple[Path, ...] = ()

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of the files that records are named after, in lower case."""
        return tuple(one for each in self.formats or SUFFIXES_OF for one in SUFFIXES_OF[each])

    def has(self, path: Path, *, is_named: bool = False) -> bool:
        """Return whether a file is what a record is named after.

        Args:
          path: The file.
          is_named: Whether the user named it, and not only its folder.
        """
        if path.suffix.lower() not in self.suffixes:
            return False
        if format_of(path) != "csv":
            return True
        if path.name.endswith(self.csv.annotations):
            return False
        if path.resolve() in [each.resolve() for each in self.no_records]:
            return False
        is_named = is_named or self.formats is not None
        return is_named or csv_signals_reader.is_recording(path, self.csv)


def format_of(path: Path) -> Format:
    """Return the format of the file that a record is named after."""
    suffix = path.suffix.lower()
    for name, suffixes in SUFFIXES_OF.items():
        if suffix in suffixes:
            return name
    return "wfdb"


def unclear_files(folder: Path, wanted: Wanted) -> Iterator[Path]:
    """Yield the CSV files of a folder that could be recordings and are not taken for ones.

    Args:
      folder: The folder, searched with its subfolders.
      wanted: Which files are records.
    """
    if wanted.formats is not None:
        return
    for path in visible_files(folder):
        if (
            format_of(path) == "csv"
            and path.suffix.lower() == csv_signals_reader.SUFFIX
            and wanted.has(path, is_named=True)
            and not wanted.has(path)
            and _has_numbers(path)
        ):
            yield path


def note_unclear(number: int) -> None:
    """Log that CSV files are left out which could be recordings; their names may name persons.

    Args:
      number: How many.
    """
    if number:
        are = "file of numbers is" if number == 1 else "files of numbers are"
        _log.log(
            NOTE,
            "dataset.path: %d CSV %s left out, because no time column or units in the heading and "
            "no table of annotations show that it is a recording; dataset=csv takes CSV files for "
            "recordings",
            number,
            are,
        )


def visible_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and its subfolders that are not hidden."""
    for place, subfolders, names in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def _has_numbers(path: Path) -> bool:
    """Return whether a CSV file has a heading and then lines of numbers only, as signals have."""
    try:
        with path.open("rb") as file:
            lines = [file.readline(_LONGEST_LINE).strip() for _ in range(_ENOUGH_LINES)]
    except OSError:
        return False
    is_heading = any(char.isalpha() for char in lines[0].decode("utf-8", "replace"))
    return is_heading and all(line and set(line) <= _IN_NUMBERS for line in lines[1:])
