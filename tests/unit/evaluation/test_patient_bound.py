"""The bound on the accuracy by patient for all evaluations of a test set together."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from ecgexp.evaluation.patient_bound import accuracy_by_patient, hoeffding_margin


def test_every_patient_has_the_same_weight():
    labels = np.array([0] * 90 + [1] * 10)
    patients = np.array(["a"] * 90 + ["b"] * 10)
    found = accuracy_by_patient(labels, np.zeros(100, int), patients)
    assert (found.value, found.patients) == (0.5, 2)


@pytest.mark.parametrize("patients", [5, 22, 100])
@pytest.mark.parametrize("evaluations", [1, 7, 123])
@pytest.mark.parametrize("mean", [0.5, 0.9])
def test_margin_holds_for_all_evaluations_together(patients, evaluations, mean):
    """Exactly, for the values in [0, 1] that vary most: all or no beats of a patient right."""
    margin = hoeffding_margin(patients, evaluations)
    right = np.arange(patients + 1)
    outside = np.abs(right / patients - mean) > margin
    one_fails = binom.pmf(right, patients, mean)[outside].sum()
    assert 1 - (1 - one_fails) ** evaluations <= 0.05


def test_margin_is_that_of_the_theorem():
    assert hoeffding_margin(22, 7) == pytest.approx(math.sqrt(math.log(280) / 44))
    assert hoeffding_margin(22, 7) < hoeffding_margin(22, 8)
