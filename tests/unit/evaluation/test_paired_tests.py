import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ecgexp.evaluation.paired_tests import EXACT_BELOW, mcnemar, sign_flip_test


def beats(both_right, only_a, only_b, both_wrong):
    """Expand a 2×2 table to beats: whether A, and whether B, is correct."""
    counts = [both_right, only_a, only_b, both_wrong]
    return np.repeat([True, True, False, False], counts), np.repeat(
        [True, False, True, False], counts
    )


def flipped(gains):
    """The sign-flip test of patients with 20 beats each, with the given differences B − A."""
    right_a = np.concatenate([np.arange(20) < 10] * len(gains))
    right_b = np.concatenate([np.arange(20) < 10 + gain for gain in gains])
    return sign_flip_test(right_a, right_b, np.repeat(np.arange(len(gains)), 20))


def test_mcnemar_counts_its_table():
    found = mcnemar(*beats(7, 3, 2, 5))
    assert (found.both_right, found.only_a_right, found.only_b_right, found.both_wrong) == (
        7,
        3,
        2,
        5,
    )


def test_few_disagreements_use_the_exact_binomial_test():
    found = mcnemar(*beats(100, 11, 1, 30))
    assert (found.method, found.statistic) == ("exact", None)
    assert found.p_value == pytest.approx(2 * (12 + 1) / 2**12)


def test_mcnemar_of_a_textbook_table_has_its_result():
    # The approval of a prime minister by 1600 people, asked twice: Agresti, Categorical Data
    # Analysis, table 10.1, has (86 − 150)² / 236 = 17.36; with the continuity correction it is 63²
    # / 236.
    found = mcnemar(*beats(794, 150, 86, 570))
    assert found.method == "chi-square"
    assert found.statistic == pytest.approx(63**2 / 236)
    assert found.statistic == pytest.approx(16.82, abs=0.005)
    assert found.p_value == pytest.approx(4.1e-5, rel=0.02)


def test_mcnemar_of_a_second_table_computed_by_hand():
    found = mcnemar(*beats(9945, 25, 15, 15))
    assert found.statistic == pytest.approx(81 / 40)
    assert found.p_value == pytest.approx(0.1547, abs=5e-5)


@settings(max_examples=60)
@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_exact_below_the_bound_and_close_above(only_a, only_b):
    found = mcnemar(*beats(3, only_a, only_b, 3))
    number = only_a + only_b
    assert found.method == ("exact" if number < EXACT_BELOW else "chi-square")
    exact = stats.binomtest(only_a, number).pvalue if number else 1.0
    assert found.p_value == pytest.approx(exact, abs=1e-12 if number < EXACT_BELOW else 0.02)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (4, 4), (30, 30), (15, 14)])
def test_models_with_equal_error_rates_do_not_differ(only_a, only_b):
    assert mcnemar(*beats(10, only_a, only_b, 10)).p_value == 1.0


def test_sign_flip_test_computed_by_hand():
    # Sums of ±1 ±2 ±4: every odd number from -7 to 7, once each. |sum| ≥ 5 in four of the eight.
    found = flipped([-1, 2, 4])
    assert (found.better, found.worse, found.equal) == (2, 1, 0)
    assert found.p_value == pytest.approx(4 / 8)
    assert found.smallest_p_value == pytest.approx(2 / 8)


def test_patients_without_difference_do_not_matter():
    few, many = flipped([3, 2, 5, 1]), flipped([3, 0, 2, 0, 0, 5, 1])
    assert many.p_value == few.p_value == many.smallest_p_value == pytest.approx(2 / 16)
    assert many.equal == 3


@settings(max_examples=40)
@given(st.lists(st.integers(-10, 10), min_size=1, max_size=9))
def test_sign_flip_test_equals_complete_enumeration(gains):
    sums = [
        abs(sum(sign * gain for sign, gain in zip(signs, gains, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(gains))
    ]
    expected = np.mean([total >= abs(sum(gains)) for total in sums])
    assert flipped(gains).p_value == pytest.approx(expected, abs=1e-12)


def test_sign_flip_test_agrees_with_scipy():
    gains = np.array([3, -1, 4, 1, -5, 9, 2, 6])
    theirs = stats.permutation_test(
        (gains,), np.sum, permutation_type="samples", n_resamples=np.inf
    )
    assert flipped(gains.tolist()).p_value == pytest.approx(theirs.pvalue)


def test_p_values_are_symmetric_in_the_models():
    right_a, right_b = beats(40, 9, 3, 10)
    patients = np.arange(62) % 7
    assert (
        sign_flip_test(right_a, right_b, patients).p_value
        == sign_flip_test(right_b, right_a, patients).p_value
    )
    assert mcnemar(right_a, right_b).p_value == pytest.approx(mcnemar(right_b, right_a).p_value)


def test_sign_flip_test_has_its_level_for_dependent_beats():
    """The models are equally good, but each patient favors one of them.

    Seeded; ± 0.03 is more than three standard errors of 600 cases.
    """
    rng, patients, size, tries = np.random.default_rng(0), 22, 100, 600
    groups = np.repeat(np.arange(patients), size)
    rejected = np.zeros(2)
    for _ in range(tries):
        leaning = rng.normal(0, 0.06, (patients, 1))
        right_a = (rng.random((patients, size)) < 0.85 - leaning).ravel()
        right_b = (rng.random((patients, size)) < 0.85 + leaning).ravel()
        p_values = (
            mcnemar(right_a, right_b).p_value,
            sign_flip_test(right_a, right_b, groups).p_value,
        )
        rejected += np.array(p_values) < 0.05
    by_beat, by_patient = rejected / tries
    assert by_patient == pytest.approx(0.05, abs=0.03)
    assert by_beat > 0.25
