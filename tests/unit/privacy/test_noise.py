"""Distribution tests use fixed seeds and cannot flake.

The two unseeded ones fail by chance less than once in 1e30.
"""

import copy
import pickle

import numpy as np
import pytest
from scipy import stats

from ecgexp.privacy import noise
from ecgexp.privacy.noise import NoiseSource
from ecgexp.privacy.settings import PrivacySpec

SIZE = 300_001  # odd, and more than one block


@pytest.fixture(scope="module")
def steps():
    source = NoiseSource(seed=1)
    return [source.normal(SIZE, 1.0) for _ in range(3)]


def test_noise_is_gaussian(steps):
    for values in steps:
        assert values.dtype == np.float32
        assert stats.kstest(values, "norm").pvalue > 1e-3
        assert abs(values.mean()) < 4 / np.sqrt(SIZE)
        assert values.std() == pytest.approx(1.0, rel=0.007)
        assert abs(stats.kurtosis(values)) < 5 * np.sqrt(24 / SIZE)


def test_halves_of_a_transform_are_independent_gaussians(steps):
    half = noise._CHUNK // 2
    cosines, sines = steps[0][:half], steps[0][half : 2 * half]
    for part in (cosines, sines):
        assert stats.kstest(part, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(cosines, sines)[0, 1]) < 4 / np.sqrt(half)
    assert abs(np.corrcoef(cosines**2, sines**2)[0, 1]) < 4 / np.sqrt(half)


def test_noise_is_independent_between_steps_blocks_and_neighbors(steps):
    first, second, third = steps
    for one, other in ((first, second), (second, third), (first, third), (first[1:], first[:-1])):
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(SIZE)
    tail = SIZE - noise._BLOCK
    assert abs(np.corrcoef(first[:tail], first[noise._BLOCK :])[0, 1]) < 4 / np.sqrt(tail)


@pytest.mark.parametrize("std", [0.3, 1.5, 40.0])
def test_std_is_the_standard_deviation_and_not_its_square(std):
    assert NoiseSource(seed=2).normal(100_000, std).std() == pytest.approx(std, rel=0.007)


def test_the_tail_reaches_beyond_float32_generators():
    class Smallest:
        def random(self, out):
            out[:] = 1 - 2.0**-53  # the largest value that a 53-bit uniform takes
            if self.angle:
                out[:] = 0.5  # an angle of 0: the cosine is 1
            self.angle = not self.angle

        angle = False

    values = np.empty(2, np.float32)
    noise._box_muller(Smallest(), values, 1.0, np.empty(1), np.empty(1), np.empty(1))
    assert values[0] == pytest.approx(8.57, abs=0.01)


def test_large_draws_have_as_many_far_values_as_a_gaussian():
    values = np.abs(NoiseSource(seed=3).normal(20_000_000, 1.0))
    for bound in (3.0, 4.0, 4.5):
        expected = 2 * stats.norm.sf(bound) * len(values)
        assert abs((values > bound).sum() - expected) < 4 * np.sqrt(expected)


def test_unseeded_sources_differ_and_seeded_ones_agree():
    assert not np.array_equal(NoiseSource().normal(1000, 1.0), NoiseSource().normal(1000, 1.0))
    np.testing.assert_array_equal(
        NoiseSource(seed=0).normal(1000, 1.0), NoiseSource(seed=0).normal(1000, 1.0)
    )
    assert not np.array_equal(
        NoiseSource(seed=0).normal(1000, 1.0), NoiseSource(seed=1).normal(1000, 1.0)
    )


def test_noise_is_independent_of_threads_and_prefetching():
    one, four = NoiseSource(seed=5, threads=1), NoiseSource(seed=5, threads=4)
    for size, std in ((SIZE, 1.0), (SIZE, 1.0), (17, 1.0), (17, 2.0), (SIZE, 1.0)):
        np.testing.assert_array_equal(one.normal(size, std), four.normal(size, std))


def test_seeded_noise_resumes_and_secret_noise_never_repeats():
    source = NoiseSource(seed=7)
    source.normal(100, 1.0)
    resumed = NoiseSource(seed=7)
    resumed.restore(source.state())
    np.testing.assert_array_equal(source.normal(100, 1.0), resumed.normal(100, 1.0))
    secret = NoiseSource()
    first = secret.normal(100, 1.0)
    secret.restore({"calls": 0})
    assert not np.array_equal(first, secret.normal(100, 1.0))


def test_no_noise_is_zero_and_counts_as_a_step():
    source = NoiseSource(seed=0)
    assert not source.normal(10, 0.0).any()
    assert source.state() == {"calls": 1}


@pytest.mark.parametrize("std", [-1.0, float("nan"), float("inf")])
def test_a_standard_deviation_that_is_none_is_refused(std):
    with pytest.raises(ValueError, match="must be finite and not negative"):
        NoiseSource().normal(10, std)


def test_arrays_like_the_weights_are_the_same_numbers():
    parts = NoiseSource(seed=1).normal_like([(3, 4), (5,), ()], 2.0)
    assert [part.shape for part in parts] == [(3, 4), (5,), ()]
    np.testing.assert_array_equal(
        np.concatenate([part.ravel() for part in parts]), NoiseSource(seed=1).normal(18, 2.0)
    )


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_source_cannot_be_copied_or_serialized(copied):
    with pytest.raises(TypeError, match="never serialized"):
        copied(NoiseSource())


def test_a_source_shows_neither_key_nor_seed():
    source = NoiseSource()
    assert str(source._key) not in repr(source)
    assert repr(source) == "NoiseSource(is_simulation=False, calls=0)"


def test_a_plan_decides_whether_its_noise_is_seeded():
    made = PrivacySpec(noise_multiplier=1.0, noise_seed=0).plan(
        num_units=10, expected_batch_size=2, epochs=1
    )
    secret = PrivacySpec(noise_multiplier=1.0).plan(num_units=10, expected_batch_size=2, epochs=1)
    assert NoiseSource.of(made).is_simulation
    assert not NoiseSource.of(secret).is_simulation
