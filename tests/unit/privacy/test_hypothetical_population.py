"""ε for a larger population, against sums done by hand and ε computed directly."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgexp.privacy import accounting, dp_events
from ecgexp.privacy.hypothetical import (
    at_same_noise,
    at_same_utility,
    plan_epsilon,
    project,
    resized,
)
from ecgexp.privacy.settings import PrivacySpec
from ecgexp.settings.declaration import ConfigError


def plan(units=47, cohort=10, rounds=20, **spec):
    spec = {"noise_multiplier": 1.0, "unit": "patient"} | spec
    return PrivacySpec(**spec).plan(num_units=units, expected_batch_size=cohort, iterations=rounds)


def test_same_noise_changes_population_cohort_and_delta_only():
    made = at_same_noise(plan(hypothetical_population=4700), 4700)
    assert (made.num_units, made.expected_batch_size, made.delta) == (4700, 1000, 1e-6)
    assert made.sampling_probability == plan().sampling_probability
    back = replace(
        made, num_units=47, expected_batch_size=10, delta=1e-4, batch_capacity=plan().batch_capacity
    )
    assert back == plan()  # which projects to nothing


def test_same_utility_keeps_the_noise_on_the_mean():
    made = at_same_utility(plan(noise_multiplier=1.3, l2_norm_clip=0.5), 4700)
    assert made.noise_multiplier == pytest.approx(130.0)
    assert made.noise_std / made.divisor == pytest.approx(1.3 * 0.5 / 10)


@settings(max_examples=30)
@given(
    st.integers(2, 60),
    st.integers(0, 100_000),
    st.floats(0.3, 5.0),
    st.sampled_from(["poisson", "fixed", "shuffle"]),
)
def test_population_never_reduces_rate_or_mean_noise(units, more, noise, sampling):
    cohort = max(1, units // 3)
    made = plan(units, cohort, noise_multiplier=noise, sampling=sampling, accountant="rdp")
    same, quiet = at_same_noise(made, units + more), at_same_utility(made, units + more)
    assert 0 <= same.sampling_probability - made.sampling_probability < 1 / (units + more)
    assert same.delta <= made.delta
    assert same.delta < 1 / same.num_units
    assert quiet.noise_std / quiet.divisor == pytest.approx(made.noise_std / made.divisor)
    assert (
        same.batch_capacity == same.expected_batch_size
        if sampling == "fixed"
        else not same.can_overflow
    )


def test_the_projected_epsilon_is_that_of_the_steps_written_out():
    found = project(plan(), 4700)

    def by_hand(z):
        return accounting.epsilon(
            dp_events.repeated(dp_events.poisson_gaussian(10 / 47, z), 20), 1e-6
        )

    assert found.same_noise.epsilon == pytest.approx(by_hand(1.0), rel=1e-3)
    assert found.same_utility.epsilon == pytest.approx(by_hand(100.0), rel=1e-2)
    assert found.same_utility.epsilon < 0.01 * found.same_noise.epsilon
    assert found.same_noise.epsilon_pld < found.same_noise.epsilon_rdp


def test_projected_to_itself_a_plan_costs_what_it_costs():
    found = project(plan(), 47)
    assert found.same_noise == found.same_utility == plan_epsilon(plan())
    assert plan_epsilon(replace(plan(), delta=1e-3)).epsilon_pld == pytest.approx(4.605, rel=1e-3)
    assert plan_epsilon(replace(plan(), delta=1e-3)).epsilon_rdp == pytest.approx(5.549, rel=1e-3)


@pytest.mark.parametrize("rounds", [1, 20, 1000])
@pytest.mark.parametrize("noise", [0.5, 2.0, 20.0])
def test_quick_epsilon_equals_the_reported_one_as_shown(noise, rounds):
    made = plan(noise_multiplier=noise, rounds=rounds)
    reported = accounting.epsilon(made.dp_event, made.delta)
    assert plan_epsilon(made).epsilon_pld == pytest.approx(reported, rel=2e-3)
    assert plan_epsilon(made).epsilon_pld >= 0.999 * reported


def test_event_without_epsilon_stays_without_one():
    fixed = plan_epsilon(replace(plan(sampling="fixed", accountant="rdp"), delta=1e-3))
    assert (fixed.epsilon_pld, fixed.epsilon) == (None, fixed.epsilon_rdp)
    assert fixed.epsilon == pytest.approx(41.17, abs=0.01)
    assert plan_epsilon(plan(noise_multiplier=0.0)).epsilon == math.inf


@pytest.mark.slow
def test_truncated_batches_stay_truncated():
    made = plan(1000, 100, batch_capacity=110, rounds=2, unit="beat")
    larger = at_same_noise(made, 2000)
    assert made.can_overflow
    assert (larger.batch_capacity, larger.can_overflow) == (220, True)
    assert project(made, 2000).same_noise.epsilon_rdp is None
    assert (
        project(made, 2000).same_noise.epsilon_pld
        > plan_epsilon(replace(larger, batch_capacity=2000)).epsilon_pld
    )


def test_smaller_population_is_refused_but_resizing_is_not():
    with pytest.raises(
        ConfigError, match="privacy.hypothetical_population=46 is below the 47 patients"
    ):
        project(plan(), 46)
    with pytest.raises(ConfigError, match="use privacy.hypothetical_population=10000"):
        at_same_utility(plan(), 46)
    assert (resized(plan(), 22).expected_batch_size, resized(plan(), 22).delta) == (5, 1e-4)
    assert resized(plan(delta=1e-5), 22).delta == 1e-5
