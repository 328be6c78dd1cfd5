"""Every statistical test draws from a fixed seed, so none flakes; bounds are at 4 sd or more."""

from dataclasses import replace

import numpy as np
import pytest

from ecgexp.privacy import dp_events
from ecgexp.privacy.sampling import Sampler
from ecgexp.privacy.settings import NotPrivate, PrivacySpec
from ecgexp.settings.declaration import DataError


def plan(num_units=1000, batch=100, iterations=2000, **spec):
    spec = {"noise_multiplier": 1.0, "noise_seed": 0} | spec
    return PrivacySpec(**spec).plan(
        num_units=num_units, expected_batch_size=batch, iterations=iterations
    )


def sampler(made=None, seed=0):
    return Sampler(made or plan(), np.random.default_rng(seed))


def membership(source, steps):
    drawn = np.zeros((steps, source.plan.num_units), bool)
    for row in drawn:
        row[source.draw().units] = True
    return drawn


def test_poisson_batches_have_binomial_mean_and_variance():
    drawn = membership(sampler(), 2000)
    sizes = drawn.sum(axis=1)
    rates = drawn.mean(axis=0)
    deviation = np.sqrt(0.1 * 0.9 / 2000)
    assert abs(sizes.mean() - 100) < 0.9
    assert abs(sizes.var() - 90) < 11
    # among 1000 units, 4 sd is exceeded by 0.06 on average
    assert (np.abs(rates - 0.1) > 4 * deviation).sum() <= 1
    assert np.abs(rates - 0.1).max() < 5.5 * deviation


def test_poisson_draws_are_independent():
    drawn = membership(sampler(plan(num_units=40, batch=8)), 4000).astype(float)
    units = np.corrcoef(drawn.T)[np.triu_indices(40, 1)]
    steps = [np.corrcoef(drawn[:-1, unit], drawn[1:, unit])[0, 1] for unit in range(40)]
    assert np.abs(units).max() < 5 / np.sqrt(4000)
    assert np.abs(steps).max() < 5 / np.sqrt(4000)


def test_an_empty_batch_is_a_step_like_any_other():
    source = sampler(plan(num_units=10, batch=1))
    draws = [source.draw() for _ in range(50)]
    assert any(len(draw.units) == 0 for draw in draws)
    assert all(draw.event == dp_events.poisson_gaussian(0.1, 1.0) for draw in draws)


def test_batch_above_capacity_is_a_random_subset_and_recorded():
    made = plan(num_units=1000, batch=100, batch_capacity=100)
    source = sampler(made)
    draws = [source.draw() for _ in range(400)]
    full = [draw.units for draw in draws if len(draw.units) == 100]
    assert max(len(draw.units) for draw in draws) == 100
    assert len(full) > 150
    assert abs(np.concatenate(full).mean() - 499.5) < 5 * 289 / np.sqrt(100 * len(full))
    assert draws[0].event == dp_events.truncated_gaussian(1000, 0.1, 100, 1.0)


def test_every_unit_enters_exactly_one_batch_of_a_shuffled_epoch():
    source = sampler(plan(sampling="shuffle"))
    first, second = membership(source, 10), membership(source, 10)
    assert (first.sum(axis=0) == 1).all()
    assert (second.sum(axis=0) == 1).all()
    assert (first != second).any()


def test_fixed_cohorts_have_their_size_and_event():
    source = sampler(plan(num_units=47, batch=10, sampling="fixed", accountant="rdp"))
    drawn = membership(source, 2000)
    assert (drawn.sum(axis=1) == 10).all()
    assert np.abs(drawn.mean(axis=0) - 10 / 47).max() < 5 * np.sqrt(10 / 47 * 37 / 47 / 2000)
    assert source.draw().event == dp_events.fixed_cohort_gaussian(47, 10, 1.0)


@pytest.mark.parametrize("sampling", ["poisson", "shuffle", "fixed"])
def test_restored_sampler_continues_bit_for_bit(sampling):
    made = plan(sampling=sampling, accountant="rdp")
    uninterrupted = sampler(made)
    for _ in range(13):
        uninterrupted.draw()
    resumed = sampler(made)
    resumed.restore(uninterrupted.state())
    for _ in range(20):
        ours, theirs = uninterrupted.draw(), resumed.draw()
        np.testing.assert_array_equal(ours.units, theirs.units)
        assert ours.event == theirs.event


def test_shuffle_with_guarantee_is_restored_between_epochs():
    """Within an epoch a new order would draw units that it had already drawn."""
    source = sampler(plan(sampling="shuffle", noise_seed=None))
    source.restore({"drawn": 20})
    assert source.drawn == 20
    for drawn in (1, 9, 21, 25):
        with pytest.raises(DataError, match=r"privacy\.sampling=shuffle.*without resume="):
            source.restore({"drawn": drawn})
    simulation = sampler(plan(sampling="shuffle"))
    simulation.restore({"drawn": 25})
    assert simulation.drawn == 25


def test_next_event_is_that_of_the_draw_that_follows():
    source = sampler(plan(sampling="shuffle"))
    for _ in range(25):
        announced = source.next_event
        assert source.draw().event == announced


def test_sample_with_guarantee_does_not_follow_from_the_seed():
    guaranteed = plan(noise_seed=None)
    assert not np.array_equal(sampler(guaranteed).draw().units, sampler(guaranteed).draw().units)
    source = sampler(guaranteed)
    first = source.draw().units
    source.restore({"drawn": 0})
    assert not np.array_equal(first, source.draw().units)
    assert source.state() == {"drawn": 1}


@pytest.mark.parametrize(
    "made",
    [plan(noise_seed=3), NotPrivate().plan(num_units=1000, expected_batch_size=100, epochs=1)],
)
def test_sample_without_guarantee_follows_from_the_seed(made):
    np.testing.assert_array_equal(sampler(made).draw().units, sampler(made).draw().units)
    assert not np.array_equal(sampler(made).draw().units, sampler(made, seed=1).draw().units)


def test_a_mutated_pair_of_plan_and_sampler_is_refused():
    source = sampler()
    with pytest.raises(ValueError, match="made for another plan .noise_multiplier 1.0 -> 0.5"):
        source.check(replace(source.plan, noise_multiplier=0.5))
    object.__setattr__(source.plan, "expected_batch_size", 500)
    with pytest.raises(ValueError, match="expected_batch_size 100 -> 500"):
        source.draw()
