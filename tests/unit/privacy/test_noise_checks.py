import numpy as np
import pytest

from ecgexp.privacy.ledger import PrivacyViolation
from ecgexp.privacy.noise_checks import NoiseStatistics


def record(steps):
    """Of (steps, values) noise."""
    products = [float(np.sum(a * b)) for a, b in zip(steps[1:], steps[:-1], strict=True)]
    return NoiseStatistics(
        values=steps.size,
        squares=float((steps**2).sum()),
        pairs=len(products) * steps.shape[1],
        products=sum(products),
    )


def noise(std, shape, seed=0):
    return np.random.default_rng(seed).normal(0, std, shape)


@pytest.mark.parametrize("shape", [(2, 128), (1, 100_000), (40, 5_000)])
def test_noise_as_planned_passes(shape):
    for seed in range(50):
        record(noise(1.7, shape, seed)).check(1.7)


@pytest.mark.parametrize("std", [0.0, 1.7 * 0.96, 1.7 * 1.04, 1.7 / 10, 1.7**2, np.nan])
def test_noise_of_another_strength_is_refused(std):
    with pytest.raises(PrivacyViolation, match=r"and 1\.7 was planned"):
        record(noise(1, (4, 25_000)) * std).check(1.7)


@pytest.mark.parametrize("std", [0.0, 1.7 / 10, 1.7 * 2])
def test_a_few_hundred_values_are_enough_for_gross_errors(std):
    with pytest.raises(PrivacyViolation):
        record(noise(1, (1, 256)) * std).check(1.7)


def test_repeated_noise_is_refused():
    with pytest.raises(
        PrivacyViolation, match=r"correlated with that of the step before \((0.9|1.0)"
    ):
        record(np.tile(noise(1.7, (1, 300)), (2, 1))).check(1.7)


def test_noise_that_is_not_there_is_refused_however_few_values():
    with pytest.raises(PrivacyViolation, match=r"standard deviation 0 and 1\.7 was planned"):
        record(np.zeros((1, 3))).check(1.7)
    NoiseStatistics().check(1.7)
    record(np.zeros((1, 3))).check(0.0)


def test_few_values_are_not_checked_but_add_up():
    few = record(noise(9, (1, 200)))
    few.check(1.7)
    with pytest.raises(PrivacyViolation):
        (few + few).check(1.7)


def test_noise_where_none_was_planned_is_refused():
    record(np.zeros((1, 300))).check(0.0)
    with pytest.raises(PrivacyViolation, match="0 was planned"):
        record(noise(1e-6, (1, 300))).check(0.0)


def test_the_log_tells_the_strength_to_a_percent_and_no_more():
    metrics = record(noise(1.7, (40, 5_000))).metrics(1.7)
    assert metrics == {"noise_std": 1.7, "noise_std_planned": 1.7}
    assert record(noise(1.7 * 1.02, (40, 5_000))).metrics(1.7)["noise_std"] == pytest.approx(
        1.7 * 1.02, rel=1e-9
    )
    assert record(np.zeros((1, 300))).metrics(0.0) == {"noise_std": 0.0, "noise_std_planned": 0.0}
