"""Patients of a user's own records: from a CSV, the record's name, or a comment of its header."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecgexp.data.beats import PatientsAre
from ecgexp.data.formats.untrusted import quoted
from ecgexp.settings.declaration import ConfigError, DataError

_COLUMNS = ("record", "patient")
_LARGEST = 1 << 26  # bytes
_LONGEST = 64
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class PatientRule:
    """How the patient of a record is known; with no field set, each record is a patient.

    **Guarantees**: Of a header comment only the group that the pattern matches is used; the rest
    is not stored and not in a message (`tests/unit/data/folder/test_patients.py`).

    Attributes:
      table: Record -> patient, as read by `read_table`.
      name_pattern: Its first group in the record's id is the patient; without a group, the match.
      comment_pattern: The same for the comments of the record's header; the first one that matches.

    Example:
      >>> PatientRule(name_pattern=re.compile(r"p[0-9]+")).patient_of("p07/night2", ())
      'p07'
    """

    table: Mapping[str, str] | None = None
    name_pattern: re.Pattern[str] | None = None
    comment_pattern: re.Pattern[str] | None = None

    @property
    def patients_are(self) -> PatientsAre:
        """See `BeatSet.patients_are`."""
        rules = (self.table, self.name_pattern, self.comment_pattern)
        return "assumed" if all(rule is None for rule in rules) else "stated"

    def patient_of(self, record_id: str, comments: Sequence[str]) -> str:
        """Return the patient of a record.

        Args:
          record_id: The record.
          comments: Comments of its header.

        Returns:
          The patient's id.

        Raises:
          DataError: The rule does not name a patient for this record.
        """
        if self.table is not None:
            if record_id not in self.table:
                raise DataError(
                    f"dataset.patients: no line names the patient of record {record_id}; add the "
                    f"line {record_id},PATIENT"
                )
            return self.table[record_id]
        if self.name_pattern is not None:
            return _checked(
                _match(self.name_pattern, [record_id]),
                f"dataset.patient_pattern={self.name_pattern.pattern}: it does not match record "
                f"{record_id}",
                "use a pattern that matches every record, or dataset.patients=FILE.csv",
            )
        if self.comment_pattern is not None:
            return _checked(
                _match(self.comment_pattern, comments),
                f"dataset.patient_comment={self.comment_pattern.pattern}: it matches no comment "
                f"in the header of record {record_id}",
                "use a pattern that matches one, or dataset.patients=FILE.csv",
            )
        return record_id


def compiled(setting: str, pattern: str | None) -> re.Pattern[str] | None:
    """Compile the pattern of a setting.

    Raises:
      ConfigError: It is not a regular expression, or has several groups.
    """
    if pattern is None:
        return None
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"{setting}={quoted(pattern)}: it is not a regular expression ({error}); use e.g. "
            f"{setting}='^(p[0-9]+)'"
        ) from error
    if found.groups > 1:
        raise ConfigError(
            f"{setting}={quoted(pattern)}: it has {found.groups} groups; put the patient's id in "
            "the only group, and use (?:...) for others"
        )
    return found


def read_table(path: Path, records: Sequence[str], *, is_complete: bool) -> dict[str, str]:
    """Read the CSV of `dataset.patients`: a heading with `record` and `patient`, then the records.

    Other columns are not read. Fields are separated by commas, or by semicolons or tabs if the
    heading is.

    Args:
      path: The file.
      records: Ids of all records that were found.
      is_complete: Whether these are all records of the folder; otherwise the file may name others.

    Returns:
      Record -> patient, for every record of `records`.

    Raises:
      DataError: The file is missing or not such a file; a record is named twice, not at all or
        without a patient, or does not exist.
    """
    shown = f"dataset.patients={path}"
    rows = _rows(path, shown)
    table: dict[str, str] = {}
    for number, (record, patient) in rows:
        if record in table:
            raise DataError(
                f"{shown}: line {number} names record {quoted(record)} again; name each record once"
            )
        if is_complete and record not in records:
            raise DataError(
                f"{shown}: line {number} names record {quoted(record)}, which is not in "
                "dataset.path; use the record's path in the folder without suffix, e.g. "
                f"{records[0] if records else '100'}"
            )
        table[record] = _checked(
            patient,
            f"{shown}: line {number} gives record {quoted(record)} no usable patient",
            f"use an id of at most {_LONGEST} printable characters",
        )
    if missing := [record for record in records if record not in table]:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise DataError(
            f"{shown}: no line names the patient of {', '.join(missing[:_SHOWN])}{more}; add a "
            "line for every record"
        )
    return table


def _rows(path: Path, shown: str) -> list[tuple[int, tuple[str, str]]]:
    """Return line number, record and patient of every line that is not empty."""
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{shown}: it has more than {_LARGEST} bytes; use a smaller file")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = "it is not text in UTF-8" if isinstance(error, ValueError) else error.strerror
        raise DataError(
            f"{shown}: it cannot be read ({why}); use a CSV with the heading record,patient"
        ) from error
    heading = text.partition("\n")[0]
    delimiter = next((mark for mark in ",;\t" if mark in heading), ",")
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        if absent := [name for name in _COLUMNS if names.count(name) != 1]:
            raise DataError(
                f"{shown}: its heading does not name the column {absent[0]} once; begin it with "
                "the line record,patient"
            )
        places = [names.index(name) for name in _COLUMNS]
        found = []
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            if len(fields) != len(names):
                raise DataError(
                    f"{shown}: line {reader.line_num} has {len(fields)} fields, but the heading "
                    f"has {len(names)}; correct the line"
                )
            record, patient = (fields[place].strip() for place in places)
            found.append((reader.line_num, (record, patient)))
    except csv.Error as error:
        raise DataError(
            f"{shown}: line {reader.line_num} is not CSV ({error}); correct it"
        ) from error
    return found


def _match(pattern: re.Pattern[str], texts: Sequence[str]) -> str:
    """Return the group, or the match without one, in the first text that matches; else empty."""
    for text in texts:
        if found := pattern.search(text):
            return (found[1] if pattern.groups else found[0]) or ""
    return ""


def _checked(patient: str, problem: str, remedy: str) -> str:
    patient = patient.strip()
    if not patient or not patient.isprintable() or len(patient) > _LONGEST:
        raise DataError(f"{problem}; {remedy}")
    return patient
