"""A user's own recordings: a folder of records, and how their patients are known."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field

from ecgexp.data.beats import BeatSet
from ecgexp.data.datasets.base import ReadRecord, key_folder
from ecgexp.data.datasets.catalog import published_databases
from ecgexp.data.datasets.recorded import names_of
from ecgexp.data.formats.csv_layout import CsvLayout
from ecgexp.data.formats.record import Format, SymbolsFrom
from ecgexp.data.preprocessing.settings import (
    Leads,
    Name,
    OnError,
    OnProgress,
    OwnPreprocessing,
    Preprocessing,
)
from ecgexp.settings.declaration import ConfigError, DataError, check_named_once, settings
from ecgexp.settings.installation import to_type
from ecgexp.settings.paths import Folder

if TYPE_CHECKING:
    from ecgexp.data.formats.discovery import FoundRecords
    from ecgexp.data.formats.folder_source import FolderSource
    from ecgexp.data.formats.pseudonyms import PseudonymSource
    from ecgexp.data.formats.source import RecordSource

Symbols = Annotated[
    Mapping[Name, Name], BeforeValidator(lambda value: {} if value is None else value)
]
"""Own symbol -> symbol of WFDB; null: none."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}")
_VERSION = re.compile(r"v?\d+(\.\d+)+")


@settings
class FolderFiles(CsvLayout, OwnPreprocessing):
    """The records of a folder, and how their patients are known.

    Each record is read by the format of its file: WFDB, EDF, BDF, or CSV, for which `CsvLayout` has
    attributes.

    Attributes:
      path: The folder, which may have subfolders; or one record, a `RECORDS` file, or a glob
        pattern.
      name: Name of the dataset in results; None: the name of the folder.
      records: Ids of the records that are used, each its path in the folder without suffix; None:
        all.
      formats: Formats that are used, e.g. `[edf]`; None: all of them, where a CSV file counts as a
        record if its heading names a time column or units, or a table of annotations is beside it.
      annotator: Suffix of the annotation files.
      symbols_from: What states the symbol of a beat: the `symbol` of its annotation, its
        `aux_note`, or `aux_note_or_symbol`: the note if it states one. A table has symbols only.
      symbols: Own symbol or note -> symbol of WFDB, e.g. `{PVC: V}`. Others that are not of WFDB
        are no beats; a note counts them.
      patients: A CSV with the columns `record` and `patient` that names the patient of every
        record.
      patient_pattern: Regular expression; its group in a record's id is the patient.
      patient_comment: Regular expression; its group in a comment of a record's header is the
        patient. Nothing else of the comments is used.
      pseudonyms: Replace ids of records and patients by keyed digests, whose key is in `cache_dir`.
        None: in runs with a privacy guarantee, unless `records` names records.
      demographics: State in the result how many patients of each split have which sex and which
        decade of age, as headers and EDF fields state them.
      on_error: What to do with a record that cannot be read. `stop`: stop with its error; `skip`:
        leave it out, and state the reason in the result.
      strict: Refuse a record with annotations before its first sample or after its last one.
    """

    path: Folder | None = None
    name: Name | None = None
    records: Annotated[tuple[Name, ...] | None, BeforeValidator(names_of)] = None
    leads: Leads = Field(default=None, validate_default=True)
    formats: Annotated[tuple[Format, ...] | None, Field(min_length=1)] = None
    annotator: Annotated[Name, Field(max_length=16, pattern="^[A-Za-z0-9]+$")] = "atr"
    symbols_from: SymbolsFrom = "symbol"
    symbols: Symbols = Field(default_factory=dict)
    patients: Folder | None = None
    patient_pattern: Name | None = None
    patient_comment: Name | None = None
    pseudonyms: bool | None = None
    demographics: bool = False
    on_error: OnError = "stop"
    strict: bool = False

    def __post_init__(self):
        OwnPreprocessing.__post_init__(self)
        from ecgexp.data.formats.labels import unknown_targets
        from ecgexp.data.formats.patients import compiled

        check_named_once("dataset.records", self.records or ())
        check_named_once("dataset.formats", self.formats or ())
        if self.records == ():
            raise ConfigError(
                "dataset.records=[]: it names no record; use dataset.records=null for all records"
            )
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"dataset.name={self.name!r}: use at most 64 letters, digits and _.-, e.g. "
                "dataset.name=holter"
            )
        if self.name in published_databases():
            raise ConfigError(
                f"dataset.name={self.name}: it is the name of a published database; use "
                f"dataset={self.name}, or another name"
            )
        rules = {
            "patients": self.patients,
            "patient_pattern": self.patient_pattern,
            "patient_comment": self.patient_comment,
        }
        given = [f"dataset.{key}" for key, value in rules.items() if value is not None]
        if len(given) > 1:
            raise ConfigError(f"{given[0]} and {given[1]}: both name the patients; use one of them")
        if unknown := unknown_targets(self.symbols):
            raise ConfigError(
                f"dataset.symbols: {unknown[0]!r} is not a symbol of WFDB; map to symbols such as "
                "N, V or A, e.g. dataset.symbols={PVC: V}"
            )
        if self.pseudonyms:
            self.check_pseudonyms()
        for key in ("patient_pattern", "patient_comment"):
            compiled(f"dataset.{key}", getattr(self, key))

    def check_pseudonyms(self) -> None:
        """Check that records and patients can have pseudonyms.

        Raises:
          ConfigError: The settings name records, or there is no folder for the key.
        """
        if self.records is not None:
            raise ConfigError(
                "dataset.records: it names records, and settings are written as they are, but "
                "dataset.pseudonyms=true; use a RECORDS file as dataset.path"
            )
        key_folder(self.cache_dir)

    @property
    def has_default_pseudonyms(self) -> bool:
        """Whether a run with a privacy guarantee decides on `pseudonyms`."""
        return self.pseudonyms is None and self.records is None

    def __str__(self) -> str:
        return self.title

    @property
    def title(self) -> str:
        """`name`, or the name of the folder; with that of its parent if it is a version."""
        if self.name is not None:
            return self.name
        if self.path is None:
            return "folder"
        parts = [part for part in self.path.parts if not set(part) & set("*?[")]
        stem = re.sub(r"[^A-Za-z0-9_.\-]", "_", (parts or ["folder"])[-1]).strip("._-")
        if _VERSION.fullmatch(stem) and len(parts) > 1:
            stem = f"{re.sub(r'[^A-Za-z0-9_-]', '_', parts[-2])}-{stem}"
        stem = stem[:60] or "folder"
        return f"{stem}_" if stem in published_databases() or not _NAME.fullmatch(stem) else stem


@settings
class FolderDataset(FolderFiles, Preprocessing):
    """Records of a folder.

    See `FolderFiles`, `OwnPreprocessing` and `SharedPreprocessing` for the attributes.

    Example:
      >>> FolderDataset(path="recordings/holter", patient_pattern="^(p[0-9]+)").title
      'holter'
    """

    def check_there(self) -> None:
        """See `Dataset.check_there`."""
        self.found_records()

    def load(self, on_progress: OnProgress | None = None, *, path: str = "dataset") -> BeatSet:
        """Load all beats of the records, without labels.

        Args:
          on_progress: Called with `(done, total, what)` while records are preprocessed.
          path: Key of these settings in the configuration, for messages.

        Returns:
          The beats, in the order of the records.

        Raises:
          DataError: There is no record, the patient of one is not named, or a record cannot be
            read and `on_error` is `stop`.
        """
        # Imported here, because it imports SciPy.
        from ecgexp.data.preprocessing.pipeline import preprocess_records

        def preprocess(source: "RecordSource") -> BeatSet:
            return preprocess_records(
                self,
                source,
                strict=self.strict,
                on_error=self.on_error,
                demographics=self.demographics,
                on_progress=on_progress,
                path=path,
            )

        if self.pseudonyms is not True:
            return preprocess(self._source())
        hidden = self._under_pseudonyms()
        with hidden.hidden():
            beats = preprocess(hidden)
        skipped = {record: hidden.hide(why) for record, why in beats.skipped.items()}
        return replace(beats, skipped=skipped)

    @contextmanager
    def open_records(self) -> Iterator[ReadRecord]:
        """See `Dataset.open_records`."""
        with self.open_source() as source:
            yield lambda record_id: source.read(record_id, self.recorded_leads)

    @contextmanager
    def open_source(self) -> Iterator["RecordSource"]:
        """See `HasSource`."""
        yield self._under_pseudonyms() if self.pseudonyms else self._source()

    def _under_pseudonyms(self) -> "PseudonymSource":
        from ecgexp.data.formats.pseudonyms import PseudonymSource
        from ecgexp.privacy.keyed_digests import DigestKey

        try:
            source = self._source()
        except DataError as error:
            if not str(error).startswith("dataset.patients"):
                raise
            inspection = to_type("ecgexp-inspect dataset=folder dataset.path= dataset.patients=")
            raise DataError(  # without the cause, which names records
                f"dataset.patients={self.patients}: it does not fit the records; correct the line "
                f"that `{inspection}` names"
            ) from None
        return PseudonymSource(source, DigestKey.of(key_folder(self.cache_dir)))

    def found_records(self) -> "FoundRecords":
        """Return the records of `path`, or those of them that `records` names.

        Raises:
          ConfigError: There is no `path`.
          DataError: There are no records.
        """
        from ecgexp.data.formats.discovery import find_records, select_records
        from ecgexp.data.formats.wanted_files import Wanted

        if self.path is None:
            raise ConfigError(
                "dataset=folder: dataset.path=null names no recordings; use dataset.path= with "
                "their folder, e.g. dataset.path=recordings"
            )
        wanted = Wanted(
            formats=self.formats,
            csv=self._layout,
            no_records=() if self.patients is None else (self.patients,),
        )
        found = find_records(self.path, setting=f"dataset.path={self.path}", wanted=wanted)
        return found if self.records is None else select_records(found, self.records)

    @property
    def _layout(self) -> CsvLayout:
        return CsvLayout(**{each.name: getattr(self, each.name) for each in fields(CsvLayout)})

    def _source(self) -> "FolderSource":
        from ecgexp.data.formats.folder_source import FolderSource
        from ecgexp.data.formats.labels import Labels
        from ecgexp.data.formats.patients import PatientRule, compiled, read_table
        from ecgexp.data.formats.wanted_files import note_unclear

        found = self.found_records()
        note_unclear(found.unclear)
        table = None
        if self.patients is not None:
            table = read_table(self.patients, list(found.files), is_complete=found.is_complete)
        return FolderSource(
            name=self.title,
            found=found,
            annotator=self.annotator,
            labels=Labels(symbols_from=self.symbols_from, symbols=self.symbols),
            patients=PatientRule(
                table=table,
                name_pattern=compiled("dataset.patient_pattern", self.patient_pattern),
                comment_pattern=compiled("dataset.patient_comment", self.patient_comment),
            ),
            csv=self._layout,
        )
