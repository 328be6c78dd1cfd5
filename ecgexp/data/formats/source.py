"""Where the records of a dataset are read from, whatever their format."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ecgexp.data.beats import PatientsAre
from ecgexp.data.formats.demographics import Demographics
from ecgexp.data.formats.record import Record


class RecordSource(Protocol):
    """Records on disk: their names, their files, and how each is read."""

    @property
    def name(self) -> str:
        """Name of the database and its version; see `BeatSet.database`."""
        ...

    @property
    def folder(self) -> Path:
        """The folder that has all files, in it or below it."""
        ...

    @property
    def records(self) -> Sequence[str]:
        """Names of the records, each once, in the order of their beats."""
        ...

    @property
    def fix(self) -> str:
        """What to do if a file is missing, as the end of a message."""
        ...

    @property
    def patients_are(self) -> PatientsAre:
        """How the patients are known; see `BeatSet.patients_are`."""
        ...

    def files_of(self, record_id: str) -> tuple[Path, ...]:
        """Return every file that a record is read from.

        Raises:
          DataError: The files that the record needs cannot be determined.
        """
        ...

    def signal_files_of(self, record_id: str) -> tuple[Path, ...]:
        """Return those of `files_of` that contain signals."""
        ...

    def check_files(self, sha256: Mapping[Path, str]) -> None:
        """Check the content of the files, if it is known what it must be.

        Args:
          sha256: File -> SHA-256.

        Raises:
          DataError: A file differs.
        """
        ...

    def read(self, record_id: str, leads: Sequence[str]) -> Record:
        """Read one record, with all its leads.

        Args:
          record_id: Its name, one of `records`.
          leads: Leads that are used, which determine the frequency of a record whose leads have
            several frequencies.

        Returns:
          The record.

        Raises:
          DataError: A file is damaged, or no lead can be used; the message is one line that names
            the file and the remedy.
        """
        ...

    def demographics_of(self, record_id: str) -> Demographics:
        """Return what the header of a record states of its patient; for `dataset.demographics`.

        Raises:
          DataError: The header cannot be read.
        """
        ...

    def identity(self) -> dict[str, Any]:
        """Return what, besides the files, identifies the data; JSON values for `BeatSet.digest`."""
        ...

    def parameters(self) -> dict[str, Any]:
        """Return what else affects how files are read; JSON values for the key of the cache."""
        ...
