"""The values of one finished run that reports show, read from the run's artifacts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ecgexp.analysis.find_runs import StoredRun
from ecgexp.data.beats import patients_note
from ecgexp.evaluation.missing import averaged_classes
from ecgexp.evaluation.stored_tables import read_clients, read_counts
from ecgexp.tracking.local.result import DataValues, EvaluationValues, PrivacyValues

PrivacyGuarantee = Literal["none", "simulation", "private"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A finished run.

    Attributes:
      run_id: its id in MLflow, or its folder.
      name: its name in MLflow.
      seed: as text; empty where it is not known.
      started: seconds since 1970; 0 where it is not known.
      params: dotted name -> value, as text.
      metrics: name -> value, the defined ones.
      undefined: name -> why it has no value.
      notes: subject -> limits of the run's scores.
      seconds: from start to end; None where it is not known.
      step: the selected epoch or round; None where it is not known.
      evaluation: its evaluation on test beats, as the log of the store counted it; None without.
      classes: in the order of the labels.
      database: name and version.
      digest: of the beats.
      counts: split -> class -> beats.
      privacy: as `PrivacyStatement.as_dict` gives it; None where no privacy guarantee was
        requested.
      statement: the privacy guarantee in words; empty without one.
      command: the command of the run; empty where it was not stored.
      patients: of the test beats, in ascending order; empty where no predictions were stored.
      by_patient: (patients, classes, classes) test beats of each patient by true (row) and
        predicted class; None where they were not stored.
      run: the stored run, for its other files.
      clients: scores of each client's test beats, as `ClientScores.rows` gives them; empty where
        beats are pooled.
    """

    run_id: str
    name: str
    seed: str
    started: float
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    undefined: Mapping[str, str]
    notes: Mapping[str, Sequence[str]]
    seconds: float | None
    step: int | None
    evaluation: EvaluationValues | None
    classes: tuple[str, ...]
    database: str
    digest: str
    counts: Mapping[str, Mapping[str, int]]
    privacy: Mapping[str, Any] | None
    statement: str
    command: str
    patients: tuple[str, ...]
    by_patient: np.ndarray | None
    clients: Sequence[Mapping[str, Any]]
    run: StoredRun

    @property
    def confusion(self) -> np.ndarray | None:
        """(classes, classes) test beats by true (row) and predicted class; None without them."""
        return None if self.by_patient is None else self.by_patient.sum(axis=0)

    @property
    def counts_by_patient(self) -> dict[str, np.ndarray]:
        """Patient -> its matrix of `by_patient`; empty where they were not stored."""
        found = () if self.by_patient is None else self.by_patient
        return dict(zip(self.patients, found, strict=True)) if len(found) else {}

    def averaged(self, split: str) -> tuple[str, ...] | None:
        """Return the classes over which averages of a split were taken; None if unknown."""
        return averaged_classes(self.metrics, split, self.classes)

    @property
    def guarantee(self) -> PrivacyGuarantee:
        """The kind of guarantee.

        `private`: secret noise was added; `simulation`: noise was added from a known seed, so there
        is no guarantee; `none`: no noise was added.
        """
        if self.privacy is None:
            return "private" if "privacy/epsilon" in self.metrics else "none"
        if self.privacy.get("guarantee"):
            return "private"
        return "simulation" if self.privacy.get("simulation") else "none"

    @property
    def epsilon(self) -> float:
        """ε of the privacy guarantee; infinite without noise.

        For a simulation, the ε that would hold if its noise were secret.
        """
        name = {"private": "epsilon", "simulation": "epsilon_if_noise_were_secret"}.get(
            self.guarantee
        )
        if name is None:
            return math.inf
        found = (self.privacy or {}).get(name, self.metrics.get(f"privacy/{name}"))
        return math.inf if found is None else float(found)

    @property
    def overlap(self) -> tuple[int, float] | None:
        """Largest number of rows that share samples with one heartbeat, and ε of these together.

        None if ε accounts for all of these rows already.
        """
        values = self.privacy or {}
        if self.guarantee != "private" or values.get("overlapping_rows", 1) <= values.get(
            "rows_per_unit", 1
        ):
            return None
        found = values.get("epsilon_overlap")
        return int(values["overlapping_rows"]), math.inf if found is None else float(found)

    @property
    def delta(self) -> float:
        """δ of the privacy guarantee; NaN without one."""
        found = (self.privacy or {}).get("delta", self.metrics.get("privacy/delta"))
        return math.nan if found is None or self.guarantee == "none" else float(found)


def read_row(run: StoredRun) -> Row:
    """Read the artifacts of a finished run.

    Raises:
      DataError: a file of the run is damaged.
    """
    result = run.result
    data = result.get("data") or run.read_json("data.json", DataValues) or {}
    selection = result.get("selection") or {}
    by_patient, patients, classes = _by_patient(run)
    return Row(
        run_id=run.run_id,
        name=run.name,
        seed=run.params.get("seed", ""),
        started=run.started,
        params=run.params,
        metrics={
            name: value
            for name, value in run.metrics.items()
            if value is not None and math.isfinite(value)
        },
        undefined=result.get("undefined") or {},
        notes=result.get("notes") or {},
        seconds=result.get("seconds"),
        step=selection.get("step"),
        evaluation=_evaluation(result.get("test_evaluation")),
        classes=tuple(data.get("classes") or classes),
        counts=data.get("beats") or {},
        database=_database(run, data),
        digest=data.get("digest") or run.tags.get("dataset.digest", ""),
        privacy=result.get("privacy") or run.read_json("privacy.json", PrivacyValues),
        statement=run.text("privacy_statement.txt"),
        command=run.tags.get("command", ""),
        patients=patients,
        by_patient=by_patient,
        clients=_clients(run),
        run=run,
    )


def _database(run: StoredRun, data: DataValues) -> str:
    """Return the database, with what every score on it must say about the patients."""
    name = data.get("database") or run.tags.get("dataset.name", "")
    note = patients_note(data.get("patients_are") or run.tags.get("dataset.patients", ""))
    return f"{name} ({note})" if note else name


def _evaluation(values: EvaluationValues | None) -> EvaluationValues | None:
    """Return the values if none is missing."""
    if not values or EvaluationValues.__annotations__.keys() - values.keys():
        return None
    bounded = values.get("margin") is not None
    is_usable = values.get("evaluations") and (values.get("patients") or not bounded)
    return values if is_usable else None


def _by_patient(
    run: StoredRun,
) -> tuple[np.ndarray | None, tuple[str, ...], tuple[str, ...]]:
    """Return the confusion matrices of the test predictions, their patients and their classes."""
    path = run.artifact("predictions/test.parquet")
    if path is None:
        return None, (), ()
    found = read_counts(path, fix=run.fix)
    return found.by_patient, found.patients, found.class_names


def _clients(run: StoredRun) -> list[dict[str, Any]]:
    path = run.artifact("tables/test_per_client.csv")
    return [] if path is None else read_clients(path, fix=run.fix)
