"""A bound on the accuracy by patient that holds for all evaluations of a test set together."""

import math
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class PatientAccuracy:
    """The mean over patients of the accuracy on a patient's beats.

    Attributes:
      value: the mean; every patient has the same weight.
      patients: number of patients.
    """

    value: float
    patients: int


def accuracy_by_patient(
    labels: np.ndarray, predictions: np.ndarray, patient_ids: np.ndarray
) -> PatientAccuracy:
    """Return the mean over patients of the accuracy on a patient's beats.

    Args:
      labels: (num_beats,) true classes; at least one beat.
      predictions: (num_beats,) predicted classes.
      patient_ids: (num_beats,) patient of each beat.

    Example:
      >>> accuracy_by_patient(np.array([0, 0, 1]), np.array([0, 1, 1]), np.array(["a", "a", "b"]))
      PatientAccuracy(value=0.75, patients=2)
    """
    _, patient = np.unique(patient_ids, return_inverse=True)
    right = np.bincount(patient, weights=labels == predictions)
    by_patient = right / np.bincount(patient)
    return PatientAccuracy(value=float(by_patient.mean()), patients=len(by_patient))


def hoeffding_margin(patients: int, evaluations: int, *, confidence: float = CONFIDENCE) -> float:
    """Return by how much accuracies by patient may differ from their expectations.

    Hoeffding (1963), theorem 2, for the mean of independent values in [0, 1], with a union over
    evaluations: sqrt(ln(2 k / (1 - confidence)) / (2 n)).

    **Guarantees**: with at least this probability, the accuracies by patient of all k
    configurations differ from those expected for a new patient by at most the margin
    (`tests/unit/evaluation/test_patient_bound.py`). This assumes that the n test patients are
    independent draws from the population of interest, and that no configuration was chosen by
    scores on these patients: a choice that depends on earlier scores is not one of k fixed ones.

    Args:
      patients: n, number of test patients.
      evaluations: k, number of evaluated configurations.
      confidence: the probability with which all hold together.

    Example:
      >>> round(hoeffding_margin(22, 1), 3), round(hoeffding_margin(22, 7), 3)
      (0.29, 0.358)
    """
    return math.sqrt(math.log(2 * evaluations / (1 - confidence)) / (2 * patients))
