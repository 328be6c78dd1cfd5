"""Simulated predictions: five AAMI classes, mostly N, with different error rates of patients."""

from dataclasses import dataclass

import numpy as np
import pytest

AAMI = ("N", "S", "V", "F", "Q")


@dataclass(frozen=True)
class Predictions:
    """The arguments of `evaluate`."""

    labels: np.ndarray
    probabilities: np.ndarray
    patient_ids: np.ndarray
    record_ids: np.ndarray
    class_names: tuple[str, ...] = AAMI

    @property
    def predicted(self) -> np.ndarray:
        return self.probabilities.argmax(axis=1)


def make_predictions(
    rng: np.random.Generator, num_beats: int, num_patients: int = 22
) -> Predictions:
    labels = rng.choice(5, num_beats, p=[0.87, 0.04, 0.07, 0.015, 0.005])
    patients = rng.integers(0, num_patients, num_beats)
    difficulty = rng.uniform(0.7, 2.0, num_patients)[patients, None]
    logits = difficulty * rng.normal(size=(num_beats, 5)) + np.array([2.0, -0.5, 0.0, -1.0, -1.5])
    logits[np.arange(num_beats), labels] += 3
    exponentials = np.exp(logits)
    return Predictions(
        labels=labels,
        probabilities=(exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32),
        patient_ids=np.array([f"p{patient}" for patient in patients]),
        # Patient 0 has two records, like the patient of records 201 and 202 of MIT-BIH.
        record_ids=np.array([f"{100 + p}" if p or i % 2 else "99" for i, p in enumerate(patients)]),
    )


@pytest.fixture(scope="session")
def predictions() -> Predictions:
    return make_predictions(np.random.default_rng(3), 6000)
