"""Records under pseudonyms: keyed digests of their names and of their patients' ids."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ecgexp.data.beats import PatientsAre
from ecgexp.data.formats.demographics import Demographics
from ecgexp.data.formats.record import Record
from ecgexp.data.formats.source import RecordSource
from ecgexp.privacy.keyed_digests import DigestKey
from ecgexp.settings.declaration import DataError

FOLDER = "pseudonyms"
"""Folder of the key, below `dataset.cache_dir`."""

_DIGITS = 16  # hexadecimal; two of a million names are equal with a probability below 1e-7


def pseudonym_of_record(key: DigestKey, record_id: str) -> str:
    """Return the pseudonym of a record."""
    return f"r{key.digest('record name', record_id)[:_DIGITS]}"


def pseudonym_of_patient(key: DigestKey, patient_id: str) -> str:
    """Return the pseudonym of a patient."""
    return f"p{key.digest('patient id', patient_id)[:_DIGITS]}"


@dataclass(frozen=True)
class PseudonymSource:
    """A source whose records and patients have pseudonyms; see `RecordSource`.

    **Guarantees**: Ids of records and patients, and messages about them, contain no name of a
    record, of its file or of a patient (`tests/unit/data/folder/test_pseudonyms.py`). Whoever has
    the key and a list of names can recognize them; whoever has the names alone cannot. Equal keys
    give equal pseudonyms, so that runs can be compared.

    Attributes:
      inner: The source with the real names.
      key: The key.
    """

    inner: RecordSource
    key: DigestKey

    @cached_property
    def _real(self) -> Mapping[str, str]:
        """Pseudonym -> name."""
        return {pseudonym_of_record(self.key, name): name for name in self.inner.records}

    @property
    def name(self) -> str:
        """See `RecordSource`."""
        return self.inner.name

    @property
    def folder(self) -> Path:
        """See `RecordSource`."""
        return self.inner.folder

    @property
    def records(self) -> Sequence[str]:
        """See `RecordSource`."""
        return tuple(self._real)

    @property
    def fix(self) -> str:
        """See `RecordSource`."""
        return self.inner.fix

    @property
    def patients_are(self) -> PatientsAre:
        """See `RecordSource`."""
        return self.inner.patients_are

    def files_of(self, record_id: str) -> tuple[Path, ...]:
        """See `RecordSource`."""
        with self.hidden():
            return self.inner.files_of(self._real[record_id])

    def signal_files_of(self, record_id: str) -> tuple[Path, ...]:
        """See `RecordSource`."""
        with self.hidden():
            return self.inner.signal_files_of(self._real[record_id])

    def check_files(self, sha256: Mapping[Path, str]) -> None:
        """See `RecordSource`."""
        with self.hidden():
            self.inner.check_files(sha256)

    def read(self, record_id: str, leads: Sequence[str]) -> Record:
        """See `RecordSource`."""
        with self.hidden():
            record = self.inner.read(self._real[record_id], leads)
        return replace(
            record,
            record_id=record_id,
            patient_id=pseudonym_of_patient(self.key, record.patient_id),
            unusable={lead: self.hide(why) for lead, why in record.unusable.items()},
        )

    def demographics_of(self, record_id: str) -> Demographics:
        """See `RecordSource`."""
        with self.hidden():
            return self.inner.demographics_of(self._real[record_id])

    def identity(self) -> dict[str, Any]:
        """See `RecordSource`; without the patients of single records, which have pseudonyms."""
        return {**self.inner.identity(), "pseudonyms": True}

    def parameters(self) -> dict[str, Any]:
        """See `RecordSource`."""
        return self.inner.parameters()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Hide the names of records in errors."""
        try:
            yield
        except DataError as error:
            # Without the cause, whose message has the names.
            raise DataError(self.hide(str(error))) from None

    def hide(self, text: str) -> str:
        """Replace names of records, and of the folders and files of their paths, in a message."""
        for name, pseudonym in self._hiding:
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", pseudonym, text)
        return text

    @cached_property
    def _hiding(self) -> Sequence[tuple[str, str]]:
        """Name -> pseudonym, the longest first: whole ids, then their last parts, then folders."""
        whole = {name: pseudonym for pseudonym, name in self._real.items()}
        last = {name.rpartition("/")[2]: pseudonym for name, pseudonym in whole.items()}
        folders = {part: "…" for name in whole for part in name.split("/")[:-1]}
        return sorted({**folders, **last, **whole}.items(), key=lambda each: -len(each[0]))
