"""The records and patients that a model may have been trained on, from public outputs of its run.

Nothing is read from the model, because with a privacy guarantee a model must not disclose its
training patients. The configured records, the published test beats, and the database's assignment
of records to patients are sufficient.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ecgexp.data.datasets.catalog import published_databases
from ecgexp.data.datasets.recorded import names_of
from ecgexp.data.synthetic.database import patients_of

# Splits without patients in several parts. The published division of mitdb has one: records 201 and
# 202 come from one patient.
_BY_PATIENT = ("PatientKFold", "CrossDatabase")
_PUBLISHED = ("InterPatient", "InterPatientTwoLead")


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """The configured records and the test beats of a run.

    Attributes:
      database: Training database, e.g. `"mitdb 1.0.0"`.
      records: Configured records; None: all of the database.
      tested_on: Record -> (num_beats,) int64, samples of its test beats; empty if they are not
        stored.
      tested_patients: Record -> patient, for records with test beats.
      patients: Record -> patient, as published by the database, for records that share a patient.
      keeps_patients_apart: Whether a patient with test beats has no training beats.
      tests_whole_records: Whether a record with test beats has no training beats.
    """

    database: str
    records: tuple[str, ...] | None = None
    tested_on: Mapping[str, np.ndarray] = field(default_factory=dict)
    tested_patients: Mapping[str, str] = field(default_factory=dict)
    patients: Mapping[str, str] = field(default_factory=dict)
    keeps_patients_apart: bool = False
    tests_whole_records: bool = False

    def notes(
        self, record_id: str, known_as: str, patient_id: str, samples: np.ndarray
    ) -> Iterator[str]:
        """Return notes on a record of `database` that the model annotates.

        Args:
          record_id: Name of the record.
          known_as: Its name in the database.
          patient_id: Its patient, named as in the database.
          samples: (num_beats,) int64, samples of the beats that may be test beats; detected beats
            never are.

        Yields:
          The notes.
        """
        if known_as != record_id:
            yield f"{record_id}: the signal is that of record {known_as} of {self.database}"
        others = self._others(known_as, patient_id)
        was_read = self.records is None or known_as in self.records
        tested = self.tested_on.get(known_as)
        untested = len(samples) if tested is None else int(np.sum(~np.isin(samples, tested)))
        if was_read and untested and not self._is_only_tested(patient_id):
            yield (
                f"{record_id}: the run was not tested on {untested} of these beats; the model may "
                "have been trained on them, and then agreement does not apply to new patients"
            )
        elif was_read and tested is None and not self._is_only_tested(patient_id):
            yield (
                f"{record_id}: the run has no test beat of this record; the model may have been "
                "trained on it, and then agreement does not apply to new patients"
            )
        if others:
            names = ", ".join(others)
            yield (
                f"{record_id}: the model may have been trained on this patient, of whom the run "
                f"also read record {names}; then agreement does not apply to new patients"
            )

    def _is_only_tested(self, patient_id: str) -> bool:
        return self.keeps_patients_apart and patient_id in self.tested_patients.values()

    def _others(self, known_as: str, patient_id: str) -> list[str]:
        """Return other records of the patient that may have training beats."""
        if self._is_only_tested(patient_id):
            return []
        patients = {**self.patients, **self.tested_patients}
        shared = [
            name for name, patient in patients.items() if patient == patient_id and name != known_as
        ]
        read = [name for name in shared if self.records is None or name in self.records]
        return sorted(
            name for name in read if name not in self.tested_on or not self.tests_whole_records
        )


def exposure_of(params: Mapping[str, Any], database: str, tests: Any) -> Exposure:
    """Determine the exposure from the parameters and test predictions of a run.

    Args:
      params: Parameters of the run; for a dataset of two databases, those of `dataset.train`.
      database: Training database.
      tests: Table with the columns record, patient and sample; None if it is not stored.

    Returns:
      The exposure.
    """
    records = names_of(params.get("dataset.train.records", params.get("dataset.records")))
    kind = str(params.get("split._target_", "")).rpartition(".")[2]
    name = database.split()[0]
    is_published = kind == "InterPatientTwoLead" or (
        kind == "InterPatient"
        and params.get("split.division", "auto") != "random"
        and name == "mitdb"
    )
    patients: Mapping[str, str] = {}
    if (entry := published_databases().get(name)) is not None:
        patients = entry.same_patient
    elif name == "synthetic" and isinstance(params.get("dataset.num_patients"), int):
        patients = patients_of(params["dataset.num_patients"])
    tested_on, tested_patients = {}, {}
    if tests is not None:
        for (record, patient), rows in tests.groupby(["record", "patient"]):
            tested_on[str(record)] = rows["sample"].to_numpy()
            tested_patients[str(record)] = str(patient)
    return Exposure(
        database=database,
        records=None if records is None else tuple(map(str, records)),
        tested_on=tested_on,
        tested_patients=tested_patients,
        patients=patients,
        keeps_patients_apart=kind in _BY_PATIENT or (kind in _PUBLISHED and not is_published),
        tests_whole_records=kind in (*_BY_PATIENT, *_PUBLISHED),
    )
