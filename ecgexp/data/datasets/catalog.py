"""Descriptions of databases: rate, leads, patients, publication, and records shared with others.

Those of published databases are the YAML files `conf/database/NAME.yaml`; a user's own are such
files in the folder of `--config-dir`.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field

from ecgexp.data.preprocessing.settings import Name
from ecgexp.settings.declaration import ConfigError, DataError, build, settings
from ecgexp.settings.installation import to_type
from ecgexp.settings.location import config_dir
from ecgexp.storage.reading import read_text

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}")
_SLUG = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9_.\-/]{0,200}")
_TARGET = "ecgexp.data.Database"


def _text(value: Any) -> Any:
    """Convert versions such as 2 or 1.0, which YAML reads as numbers."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


@settings
class Database:
    """A published, generated or own database of ECG records.

    Attributes:
      name: PhysioNet's short name, e.g. `"mitdb"`; also the folder below the data root.
      version: Published version; the files of another version are another database.
      title: Full name.
      fs_hz: Sampling frequency of every record.
      records: Record names, in published order; None: those that the file `RECORDS` of the database
        lists.
      record_sets: Name of a set -> its records; an entry that names another set stands for the
        records of that set, in published order.
      left_out: Regular expression for whole names -> why such records are not used as ECG records
        with beats.
      lead_names: Every lead that at least one record has; empty: not known.
      num_samples: Samples per lead of every record; None if records differ in length.
      adc_gain: Units per millivolt for files that do not state it: headers with gain 0 and the CSV
        layout. None: 200 for such headers, WFDB's default; such CSV files are refused.
      adc_zero: Units at zero volt in the CSV layout.
      same_patient: Record -> patient, for records that share a patient; every other record has a
        patient of its own.
      patient_pattern: Regular expression; its group in a record's name is the patient.
      patient_comment: Regular expression; its group in a comment of a record's header is the
        patient, for databases whose headers state it.
      same_as: Regular expression for whole names -> `database/record`, where these records come
        from, with groups as in `re.Match.expand`. They have the patient of that record.
      no_beat_classes: What its annotations are instead of classes of beats, so that no run can use
        it; empty: they are classes of beats.
      slug: Folder below `https://physionet.org/files/`; empty if it is not published there.
      doi: Digital object identifier.
      license: License of the data.
      verified: Whether this description was compared with the files of the database.
      remedy: What to do if a file is missing or damaged; empty: run the command that fetches the
        database.

    Example:
      >>> mitdb = find_database("mitdb")
      >>> mitdb.patient_of("202"), len(mitdb.records), mitdb.fs_hz
      ('201+202', 48, 360.0)
      >>> find_database("nstdb").origin_of("118e06")
      'mitdb/118'
    """

    name: str
    version: Annotated[str, BeforeValidator(_text)]
    title: str
    fs_hz: float
    records: tuple[Name, ...] | None = None
    record_sets: Mapping[str, tuple[Name, ...]] = Field(default_factory=dict)
    left_out: Mapping[str, str] = Field(default_factory=dict)
    lead_names: tuple[str, ...] = ()
    num_samples: int | None = None
    adc_gain: float | None = None
    adc_zero: int = 0
    same_patient: Mapping[Name, Name] = Field(default_factory=dict)
    patient_pattern: str | None = None
    patient_comment: str | None = None
    same_as: Mapping[str, str] = Field(default_factory=dict)
    no_beat_classes: str = ""
    slug: str = ""
    doi: str = ""
    license: str = ""
    verified: bool = True
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def fix(self) -> str:
        """What to do if a file is missing or damaged, as the end of a message."""
        if self.remedy or not self.slug:
            return self.remedy or "copy its files again"
        own = "" if self.name in published_databases() else " --config-dir DIR"
        return f"run `{to_type(f'ecgexp-fetch{own} {self.name}')}`"

    def record_set(self, name: str) -> tuple[str, ...]:
        """Return the records of one of `record_sets`.

        Raises:
          KeyError: There is no such set.
        """
        found = self.record_sets[name]
        if not any(each in self.record_sets for each in found):
            return found
        members = {
            record
            for each in found
            for record in (self.record_set(each) if each in self.record_sets else (each,))
        }
        return tuple(record for record in self.records or sorted(members) if record in members)

    def why_left_out(self, record_id: str) -> str | None:
        """Return why a record is not used as a record with beats; None: it is used."""
        return next(
            (why for rule, why in self.left_out.items() if re.fullmatch(rule, record_id)), None
        )

    def origin_of(self, record_id: str) -> str:
        """Return where a record comes from, as `database/record`; itself, if it is an original."""
        for rule, target in self.same_as.items():
            if found := re.fullmatch(rule, record_id):
                return found.expand(target)
        return f"{self.name}/{record_id}"

    def person_of(self, record_id: str) -> str:
        """Return `database/patient` of the origin of a record, which databases may share."""
        origin, _, original = self.origin_of(record_id).partition("/")
        entry = self if origin == self.name else published_databases().get(origin)
        patients = {} if entry is None else entry.same_patient
        return f"{origin}/{patients.get(original, original)}"

    @property
    def sources(self) -> tuple[str, ...]:
        """The databases that some of the records come from, without itself."""
        return tuple(dict.fromkeys(target.partition("/")[0] for target in self.same_as.values()))

    def patient_of(self, record_id: str, comments: Sequence[str] = ()) -> str:
        """Return the patient of a record.

        Args:
          record_id: The record.
          comments: Comment lines of its header, used if the database names its patients there.

        Returns:
          The patient's id.

        Raises:
          DataError: The name or the header does not state the patient, as those of this database
            do.
        """
        origin, _, original = self.origin_of(record_id).partition("/")
        if origin != self.name:
            entry = published_databases().get(origin)
            return original if entry is None else entry.patient_of(original, comments)
        if record_id in self.same_patient:
            return self.same_patient[record_id]
        if self.patient_pattern is not None:
            if found := re.search(self.patient_pattern, record_id):
                return found[1]
            raise DataError(
                f"database.patient_pattern of {self} does not match record {record_id}; correct "
                "the pattern"
            )
        if self.patient_comment is None:
            return record_id
        for comment in comments:
            if found := re.search(self.patient_comment, comment):
                return found[1]
        raise DataError(
            f"{record_id}.hea does not name its patient, which splits by patient need; {self.fix}"
        )

    def published_sha256(self) -> Mapping[str, str]:
        """Return file name -> SHA-256 as published by PhysioNet; empty if no list is packaged."""
        return _published_sha256(f"{self.name}-{self.version}.sha256")

    def checked(self, setting: str) -> "Database":
        """Return this description of a user's own database, after a check of its texts.

        Args:
          setting: Where it stands in the configuration, e.g. `dataset.database`.

        Raises:
          ConfigError: The name is that of a published database or no name of a folder, the slug
            is no relative path, or a pattern is no regular expression with one group.
        """
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"{setting}.name={self.name!r}: use at most 64 letters, digits and _.-, e.g. holter"
            )
        if self.name in published_databases():
            raise ConfigError(
                f"{setting}.name={self.name}: it is the name of a published database; use "
                f"{setting}={self.name}, or another name"
            )
        if self.slug and not _SLUG.fullmatch(self.slug):
            raise ConfigError(
                f"{setting}.slug={self.slug!r}: use a folder below https://physionet.org/files/, "
                "e.g. mitdb/1.0.0"
            )
        for key in ("patient_pattern", "patient_comment"):
            _check_pattern(f"{setting}.{key}", getattr(self, key), groups=1)
        for key in ("left_out", "same_as"):
            for rule in getattr(self, key):
                _check_pattern(f"{setting}.{key}", rule)
        for rule, target in self.same_as.items():
            try:
                re.sub(rule, target, "")
            except (re.error, IndexError) as error:
                raise ConfigError(
                    f"{setting}.same_as={target}: {error}; use database/record, with \\1 for the "
                    "first group"
                ) from error
            if not re.fullmatch(r"[^/]+/[^/]+", target):
                raise ConfigError(
                    f"{setting}.same_as={target}: it is not database/record; use e.g. mitdb/100"
                )
        return self


def _check_pattern(setting: str, pattern: str | None, *, groups: int | None = None) -> None:
    if pattern is None:
        return
    try:
        found = re.compile(pattern).groups
    except re.error as error:
        raise ConfigError(
            f"{setting}={pattern!r}: it is not a regular expression ({error}); use e.g. "
            "'^(p[0-9]+)'"
        ) from error
    if groups is not None and found != groups:
        raise ConfigError(
            f"{setting}={pattern!r}: it has {found} groups; put the patient's id in the only "
            "group, and use (?:...) for others"
        )


@cache
def _published_sha256(list_name: str) -> Mapping[str, str]:
    listed = resources.files("ecgexp.data").joinpath("checksums", list_name)
    if not listed.is_file():
        return MappingProxyType({})
    return MappingProxyType(parse_sha256sums(listed.read_text("utf-8")))


def parse_sha256sums(text: str) -> dict[str, str]:
    """Parse a `SHA256SUMS` file.

    Args:
      text: Its lines: a digest, white space, a file name.

    Returns:
      File name -> SHA-256.
    """
    return {
        name: digest
        for digest, name in (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    }


@cache
def published_databases() -> Mapping[str, Database]:
    """Return the databases that are described in `conf/database/`, by their names."""
    paths = sorted((config_dir() / "database").glob("*.yaml"))
    return MappingProxyType({path.stem: _read(path) for path in paths})


def find_database(name: str) -> Database:
    """Return the published database with this name.

    Args:
      name: Short name, e.g. `"mitdb"`.

    Returns:
      Its description.

    Raises:
      ConfigError: `conf/database/` has no such file.
    """
    if name not in published_databases():
        raise ConfigError(
            f"dataset.database={name!r}: not a published database that is described here; use one "
            f"of {', '.join(published_databases())}, a description with "
            "`- /database@database: NAME` in your own dataset, or dataset=folder"
        )
    return published_databases()[name]


def read_own_database(folder: Path, name: str) -> Database:
    """Read the description of a user's own database, `database/NAME.yaml`.

    Args:
      folder: The folder of `--config-dir`.
      name: Its name.

    Returns:
      The description.

    Raises:
      ConfigError: There is no such file, or it is not such a description.
    """
    path = folder / "database" / f"{name}.yaml"
    if not _NAME.fullmatch(name) or not path.is_file():
        raise ConfigError(f"{name}: there is no {path}; write it, or use the name of another one")
    return _read(path).checked("database")


def _read(path: Path) -> Database:
    fix = "correct it as in conf/database/mitdb.yaml"
    try:
        values: Any = yaml.safe_load(read_text(path, fix=fix))
    except (yaml.YAMLError, DataError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: it is not a YAML file; {fix}") from error
    if not isinstance(values, dict) or values.pop("_target_", None) != _TARGET:
        raise ConfigError(f"{path}: it has no line `_target_: {_TARGET}`; {fix}")
    return build(Database, values, path=f"database {path.stem}")


def names_in(value: Any, database: Database) -> Any:
    """Return the records of a value of `dataset.records`.

    Args:
      value: The name of a record set of the database, of one record, or any other value.
      database: The database.

    Returns:
      The records of the set, the one record as a tuple, or `value` unchanged.
    """
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        text = str(value)
        return (
            database.record_set(text.lower()) if text.lower() in database.record_sets else (text,)
        )
    return value
