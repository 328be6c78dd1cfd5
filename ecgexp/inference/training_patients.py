"""Whose beats a model may have learned from, by all that its run keeps of them in public.

Nothing here is read from the model: under a privacy guarantee, who was trained on is nothing that a model may tell. What a run
was configured to read, which test beats it published, and which records the database gives to one patient say enough.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ecgexp.data.datasets.catalog import DATABASES
from ecgexp.data.datasets.recorded import names_of
from ecgexp.data.synthetic.database import patients_of

# Splits that keep every patient on one side. The published division of mitdb does not: 201 and 202 come from one patient.
_BY_PATIENT = ("PatientKFold", "CrossDatabase")
_PUBLISHED = ("InterPatient", "InterPatientTwoLead")


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """What a run read, and what it was tested on.

    Attributes:
      database: whose records it learned from, e.g. `"mitdb 1.0.0"`.
      records: those that it was configured to read; None: all of the database.
      tested_on: record -> (num_beats,) int64 samples of its test beats; empty where it kept none.
      tested_patients: record -> patient, for records with test beats.
      patients: record -> patient, as the database publishes it, for records that share one.
      keeps_patients_apart: whether a patient with test beats cannot have been learned from.
      tests_whole_records: whether a record with test beats cannot.
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
        """What must be said of a record of `database` that the model is shown.

        Args:
          record_id: what it is called here.
          known_as: what its database calls it.
          patient_id: whose it is, as the database names patients.
          samples: (num_beats,) int64 of its beats that could have been test beats; those of a detector never are.
        """
        if known_as != record_id:
            yield f"{record_id}: the signal is that of record {known_as} of {self.database}"
        others = self._others(known_as, patient_id)
        was_read = self.records is None or known_as in self.records
        tested = self.tested_on.get(known_as)
        untested = len(samples) if tested is None else int(np.sum(~np.isin(samples, tested)))
        if was_read and untested and not self._is_only_tested(patient_id):
            yield (
                f"{record_id}: the run was not tested on {untested} of these beats; it may have learned from them, and then "
                "agreement says nothing about other patients"
            )
        elif was_read and tested is None and not self._is_only_tested(patient_id):
            yield (
                f"{record_id}: the run has no test beat of this record; it may have learned from it, and then what it says here "
                "says nothing about other patients"
            )
        if others:
            names = ", ".join(others)
            yield (
                f"{record_id}: the model may have learned from this patient, of whom the run also read record {names}; then "
                "agreement says nothing about other patients"
            )

    def _is_only_tested(self, patient_id: str) -> bool:
        return self.keeps_patients_apart and patient_id in self.tested_patients.values()

    def _others(self, known_as: str, patient_id: str) -> list[str]:
        """Other records of the patient that the run read and need not have tested only."""
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
    """What a run's parameters and test predictions say.

    Args:
      params: of the run, as values; those of a dataset of two under `dataset.train.`.
      database: that it learned from.
      tests: table with the columns record, patient and sample; None where the run kept none.
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
    if name in DATABASES:
        patients = DATABASES[name].same_patient
    elif name == "synthetic" and isinstance(params.get("dataset.num_patients"), int):
        patients = patients_of(params["dataset.num_patients"])
    tested_on, tested_patients = {}, {}
    if tests is not None:
        for (record, patient), rows in tests.groupby(["record", "patient"]):
            tested_on[str(record)] = rows["sample"].to_numpy()
            tested_patients[str(record)] = str(patient)
    return Exposure(
        database=database, records=None if records is None else tuple(map(str, records)), tested_on=tested_on,
        tested_patients=tested_patients, patients=patients,
        keeps_patients_apart=kind in _BY_PATIENT or (kind in _PUBLISHED and not is_published),
        tests_whole_records=kind in (*_BY_PATIENT, *_PUBLISHED),
    )  # fmt: skip
