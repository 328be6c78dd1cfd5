"""ε against values computed elsewhere: PRIVACY.md's and FACTS.md's tables."""

import math
import re
import subprocess
import sys

import pytest
from gaussian_pair import gaussian_pair
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import norm

from ecgexp.privacy import accounting, dp_events, stored_events
from ecgexp.privacy.calibration import calibrate_noise
from ecgexp.settings.declaration import ConfigError

STUDY_Q, STUDY_T, STUDY_DELTA = 100 / 52_367, 10_480, 4e-6


def poisson(q, z, steps):
    return dp_events.repeated(dp_events.poisson_gaussian(q, z), steps)


@pytest.mark.parametrize(
    ("q", "noise", "steps", "delta", "rdp", "pld"),
    [
        (0.04, 1.5, 2250, 1e-5, 7.329, 6.769),
        (0.01, 4.0, 10_000, 1e-5, 1.0355, 0.9470),
        (150 / 60_000, 1.3, 6000, 1e-5, 0.7242, 0.6401),
        (250 / 60_000, 1.3, 720, 1e-5, 0.5632, 0.3703),
        (1.0, 1.0, 1, 1e-5, 4.7285, 4.3772),
        (10 / 47, 1.0, 20, 1e-3, 5.549, 4.605),
        (256 / 50_000, 1.1, 1953, 1e-5, 1.2131, 1.0220),
        (256 / 50_000, 1.0, 3906, 1e-5, 1.9456, 1.7440),
    ],
)
def test_epsilon_of_poisson_batches_equals_the_published_value(q, noise, steps, delta, rdp, pld):
    event = poisson(q, noise, steps)
    assert accounting.epsilon(event, delta, "rdp") == pytest.approx(rdp, rel=1e-3)
    assert accounting.epsilon(event, delta, "pld") == pytest.approx(pld, rel=1e-3)


@pytest.mark.parametrize(
    ("noise", "printed", "rdp", "pld", "unamplified"),
    [
        (0.8, 2.03, 2.19, 1.72, 39.9),
        (1.0, 1.15, 1.29, 1.05, 29.3),
        (1.4, 0.61, 0.68, 0.61, 18.7),
        (2.0, 0.37, 0.42, 0.39, 11.9),
        (2.4, 0.30, 0.34, 0.31, 9.6),
    ],
)
def test_epsilon_of_the_replicated_settings(noise, printed, rdp, pld, unamplified):
    as_printed = poisson(100 / 66_288, noise, 20 * 663)
    event = poisson(STUDY_Q, noise, STUDY_T)
    shuffled = dp_events.repeated(dp_events.gaussian(noise), 20)
    assert accounting.epsilon(as_printed, STUDY_DELTA, "rdp") == pytest.approx(
        printed, rel=0.025
    )  # of older orders
    assert accounting.epsilon(event, STUDY_DELTA, "rdp") == pytest.approx(rdp, abs=0.0051)
    assert accounting.epsilon(event, STUDY_DELTA, "pld") == pytest.approx(pld, abs=0.0055)
    assert accounting.epsilon(shuffled, STUDY_DELTA, "pld") == pytest.approx(unamplified, abs=0.055)


@pytest.mark.parametrize(("copies", "expected"), [(1, 0.6144), (10, 8.093)])
def test_copies_of_a_beat_are_accounted_as_a_mixture(copies, expected):
    event = dp_events.repeated(dp_events.copies_gaussian(STUDY_Q, 1.4, copies), STUDY_T)
    interval = 1e-4 if copies == 1 else 1e-3  # ten seconds against one
    assert accounting.epsilon(event, STUDY_DELTA, interval=interval) == pytest.approx(
        expected, rel=1e-3
    )


@pytest.mark.parametrize(("capacity", "expected"), [(100, 2.3502), (130, 0.68081), (150, 0.61441)])
def test_batches_cut_to_a_capacity_cost_more(capacity, expected):
    event = dp_events.repeated(
        dp_events.truncated_gaussian(52_367, STUDY_Q, capacity, 1.4), STUDY_T
    )
    assert accounting.epsilon(event, STUDY_DELTA) == pytest.approx(expected, rel=1e-3)


def test_patients_five_of_22_in_100_rounds():
    assert accounting.epsilon(poisson(5 / 22, 1.0, 100), 1e-5, "rdp") == pytest.approx(
        18.35, abs=0.05
    )


def test_fixed_cohorts_never_get_poisson_epsilon():
    fixed = dp_events.repeated(dp_events.fixed_cohort_gaussian(47, 10, 1.0), 20)
    assert accounting.epsilon(fixed, 1e-3, "rdp", "replace_one") == pytest.approx(41.17, abs=0.01)


def test_a_sweep_costs_its_composition_and_the_best_of_it_less():
    noises = (0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4)
    all_of_them = dp_events.composed([poisson(STUDY_Q, noise, STUDY_T) for noise in noises])
    best = dp_events.best_of(poisson(STUDY_Q, 1.4, STUDY_T), mean_runs=9)
    nine = dp_events.repeated(poisson(STUDY_Q, 1.4, STUDY_T), 9)
    assert accounting.epsilon(all_of_them, STUDY_DELTA, "rdp") == pytest.approx(2.86, abs=0.005)
    assert accounting.epsilon(all_of_them, STUDY_DELTA, "pld") == pytest.approx(2.54, abs=0.005)
    assert accounting.epsilon(best, STUDY_DELTA, "rdp") == pytest.approx(1.44, abs=0.005)
    assert accounting.epsilon(nine, STUDY_DELTA, "pld") == pytest.approx(2.01, abs=0.005)


def test_pld_under_replace_one_is_not_the_add_remove_value():
    # dp_accounting 0.4.3 silently returned the add/remove ε here.
    event = poisson(STUDY_Q, 1.4, STUDY_T)
    assert accounting.epsilon(event, STUDY_DELTA, "pld", "replace_one") == pytest.approx(
        1.1333, rel=1e-3
    )
    assert accounting.epsilon(dp_events.gaussian(1.0), 1e-5, "pld", "replace_one") == pytest.approx(
        9.997, rel=1e-3
    )


@pytest.mark.parametrize(
    ("event", "accountant", "neighboring_relation"),
    [
        (lambda: dp_events.poisson_gaussian(0.1, 1.0), "rdp", "replace_one"),
        (lambda: dp_events.gaussian(1.0), "rdp", "replace_one"),
        (lambda: dp_events.repeated(dp_events.gaussian(1.0), 3), "rdp", "replace_one"),
        (lambda: dp_events.fixed_cohort_gaussian(47, 10, 1.0), "rdp", "add_or_remove_one"),
        (lambda: dp_events.fixed_cohort_gaussian(47, 10, 1.0), "pld", "replace_one"),
        (lambda: dp_events.truncated_gaussian(1000, 0.1, 120, 1.0), "rdp", "add_or_remove_one"),
        (
            lambda: dp_events.best_of(dp_events.gaussian(1.0), mean_runs=9),
            "pld",
            "add_or_remove_one",
        ),
    ],
)
def test_event_without_a_sound_bound_is_refused(event, accountant, neighboring_relation):
    with pytest.raises(ConfigError, match=f"privacy.accountant={accountant} has no valid bound"):
        accounting.epsilon(event(), 1e-5, accountant, neighboring_relation)


@pytest.mark.parametrize("accountant", ["rdp", "pld"])
@pytest.mark.parametrize(
    "event",
    [
        lambda: dp_events.gaussian(2.0),
        lambda: dp_events.poisson_gaussian(0.01, 1.2),
        lambda: dp_events.truncated_gaussian(5000, 0.01, 60, 1.2),
        lambda: dp_events.copies_gaussian(0.01, 1.5, 2),
    ],
)
def test_an_n_fold_event_costs_as_much_as_n_single_events(event, accountant):
    if accountant == "rdp" and type(event()).__name__ in (
        "TruncatedSubsampledGaussianDpEvent",
        "MixtureOfGaussiansDpEvent",
    ):
        with pytest.raises(ConfigError, match="no valid bound"):
            accounting.epsilon(event(), 1e-5, accountant)
        return
    folded = accounting.epsilon(dp_events.repeated(event(), 4), 1e-5, accountant, interval=1e-3)
    singles = accounting.epsilon(dp_events.composed([event()] * 4), 1e-5, accountant, interval=1e-3)
    assert folded == pytest.approx(singles, rel=2e-3)
    assert folded > 1.01 * accounting.epsilon(event(), 1e-5, accountant, interval=1e-3)


@settings(max_examples=12)
@given(
    st.floats(0.001, 0.5),
    st.floats(0.6, 8.0),
    st.integers(1, 3000),
    st.sampled_from(["rdp", "pld"]),
)
def test_epsilon_falls_with_noise_and_grows_with_steps(q, noise, steps, accountant):
    def epsilon_of(z, count):
        return accounting.epsilon(poisson(q, z, count), 1e-5, accountant, interval=1e-3)

    here = epsilon_of(noise, steps)
    assert epsilon_of(1.2 * noise, steps) <= here + 1e-9
    assert epsilon_of(noise, 2 * steps) >= here - 1e-9


def test_epsilon_is_infinite_without_noise_and_0_without_steps():
    for accountant in ("rdp", "pld"):
        assert accounting.epsilon(dp_events.not_private(), 1e-5, accountant) == float("inf")
        assert accounting.epsilon(dp_events.gaussian(0.0), 1e-5, accountant) == float("inf")
        assert accounting.epsilon(dp_events.nothing(), 1e-5, accountant) == pytest.approx(
            0.0, abs=1e-9
        )


def test_little_noise_is_accounted_in_bounded_time():
    event = dp_events.repeated(dp_events.gaussian(0.5), 50)
    assert accounting.epsilon(event, 1e-5) == pytest.approx(
        accounting.epsilon(event, 1e-5, interval=1e-3), rel=1e-3
    )
    assert 100 < accounting.epsilon(event, 1e-5) <= accounting.epsilon(event, 1e-5, "rdp")


@pytest.mark.parametrize(("z_delta", "count_std"), [(1.25, 0.5), (0.8, 2.0), (3.0, 1.0)])
@pytest.mark.parametrize("q", [10 / 47, 1.0])
def test_adaptive_clipping_equals_dp_accounting_of_both_sums(q, z_delta, count_std):
    from dp_accounting import dp_event

    both = dp_event.ComposedDpEvent(
        [dp_event.GaussianDpEvent(z_delta), dp_event.GaussianDpEvent(2 * count_std)]
    )
    sampled = dp_events.repeated(dp_event.PoissonSampledDpEvent(q, both), 20)
    z = gaussian_pair(z_delta, 2 * count_std).noise_multiplier
    assert z == pytest.approx((z_delta**-2 + (2 * count_std) ** -2) ** -0.5, rel=1e-12)
    assert accounting.epsilon(sampled, 1e-3, "rdp") == pytest.approx(
        accounting.epsilon(poisson(q, z, 20), 1e-3, "rdp"), rel=1e-9
    )
    assert z < min(z_delta, 2 * count_std)


def test_adaptive_clipping_splits_noise_as_in_its_paper():
    # Andrew et al. 2021: for z = 1 and a count of standard deviation 5 (0.05 of a cohort of 100),
    # z_Δ = 1.00504.
    z_delta = (1.0 - (2 * 5) ** -2) ** -0.5
    assert z_delta == pytest.approx(1.00504, abs=1e-5)
    assert gaussian_pair(z_delta, 10.0).noise_multiplier == pytest.approx(1.0, rel=1e-12)
    assert gaussian_pair(1.0, 0.0) == gaussian_pair(0.0, 1.0) == dp_events.gaussian(0.0)


def test_two_sums_equal_one_sum_of_their_joint_noise():
    # E[(p/q)²] of the sampled pair, integrated in the plane with no help from dp_accounting; its
    # closed form for one Gaussian is 1 + q² (exp(1/z²) - 1).
    import numpy as np

    q, z_sum, z_count = 0.2, 1.3, 0.9
    z = gaussian_pair(z_sum, z_count).noise_multiplier
    x, y = np.meshgrid(np.linspace(-12, 14, 1041) * z_sum, np.linspace(-12, 14, 1041) * z_count)

    def density(mean):
        return np.exp(-(((x - mean) / z_sum) ** 2 + ((y - mean) / z_count) ** 2) / 2)

    out = density(0.0)
    mixed = (1 - q) * out + q * density(1.0)
    assert np.sum(mixed**2 / out) / np.sum(out) == pytest.approx(
        1 + q**2 * (np.exp(z**-2) - 1), rel=1e-6
    )


@pytest.mark.parametrize(
    ("sampling_event", "accountant", "neighboring_relation", "near"),
    [
        (lambda z: poisson(10 / 47, z, 20), "pld", "add_or_remove_one", 3.0),
        (lambda z: poisson(10 / 47, z, 20), "pld", "add_or_remove_one", 0.2),
        (lambda z: poisson(10 / 47, z, 100), "rdp", "add_or_remove_one", 30.0),
        (
            lambda z: dp_events.repeated(dp_events.fixed_cohort_gaussian(47, 10, z), 20),
            "rdp",
            "replace_one",
            10.0,
        ),
    ],
)
def test_noise_sought_near_a_guess_meets_the_target(
    sampling_event, accountant, neighboring_relation, near
):
    noise = calibrate_noise(sampling_event, 2.0, 1e-3, accountant, neighboring_relation, near=near)
    assert (
        0.997 * 2
        <= accounting.epsilon(sampling_event(noise), 1e-3, accountant, neighboring_relation)
        <= 2.0
    )


@pytest.mark.parametrize(
    ("q", "steps", "delta", "target", "accountant", "noise"),
    [(0.01, 1000, 1e-5, 1.0, "pld", 1.4158), (0.04, 2250, 1e-5, 8.0, "rdp", 1.4146)],
)
def test_calibration_finds_the_published_noise(q, steps, delta, target, accountant, noise):
    found = calibrate_noise(lambda z: poisson(q, z, steps), target, delta, accountant)
    assert found == pytest.approx(noise, rel=1e-3)


@pytest.mark.parametrize(
    ("make_event", "target"),
    [
        (lambda z: poisson(10 / 47, z, 20), 4.0),
        (lambda z: poisson(0.5, z, 50), 0.3),
        (lambda z: dp_events.repeated(dp_events.gaussian(z), 20), 3.0),
        (
            lambda z: dp_events.repeated(dp_events.truncated_gaussian(5000, 0.02, 120, z), 500),
            2.0,
        ),
        (lambda z: dp_events.gaussian(z), 60.0),
    ],
)
def test_calibrated_noise_meets_the_target_within_one_percent(make_event, target):
    noise = calibrate_noise(make_event, target, 1e-4)
    assert 0.99 * target <= accounting.epsilon(make_event(noise), 1e-4) <= target


def test_a_target_that_no_noise_reaches_is_refused():
    with pytest.raises(
        ConfigError, match="privacy.target_epsilon=1e-06 is less than this accountant can certify"
    ):
        calibrate_noise(lambda z: poisson(0.01, z, 10_000), 1e-6, 1e-5, "rdp")


def two_steps(z):
    return poisson(256 / 326, z, 2)


@pytest.mark.parametrize("target", [0.01, 1000.0, 1e6])
@pytest.mark.parametrize(
    "make_event",
    [
        two_steps,
        lambda z: dp_events.repeated(dp_events.truncated_gaussian(326, 256 / 326, 260, z), 2),
    ],
    ids=["whole", "cut"],
)
def test_calibration_to_an_extreme_target_is_kept_and_quick(make_event, target):
    tried = []
    noise = calibrate_noise(lambda z: tried.append(z) or make_event(z), target, 1e-5)
    assert len(tried) <= 60  # evaluations of ε; 16 to 45 were measured
    assert 0.9 * target <= accounting.smallest_epsilon(make_event(noise), 1e-5)[0] <= target


@pytest.mark.parametrize(
    ("target", "accountant", "steps"),
    [
        (1e-6, "pld", 2),
        (1e-4, "pld", 2),
        (1e-6, "rdp", 2),
        (1e-6, "rdp", 1_000_000),
        (0.02, "rdp", 1_000_000),
    ],
)
def test_infeasible_target_names_a_feasible_one(target, accountant, steps):
    with pytest.raises(
        ConfigError, match=f"privacy.target_epsilon={target:g} is less .*privacy.target_epsilon="
    ) as raised:
        calibrate_noise(lambda z: poisson(256 / 326, z, steps), target, 1e-5, accountant)
    usable = float(
        re.search(r"use privacy.target_epsilon=(\S+) or more", str(raised.value)).group(1)
    )
    noise = calibrate_noise(lambda z: poisson(256 / 326, z, steps), usable, 1e-5, accountant)
    assert (
        accounting.smallest_epsilon(poisson(256 / 326, noise, steps), 1e-5, accountant)[0] <= usable
    )


def test_calibration_above_what_means_anything_is_refused():
    with pytest.raises(
        ConfigError,
        match=r"privacy.target_epsilon=1e\+08 is above 1e\+07.*privacy.noise_multiplier",
    ):
        calibrate_noise(two_steps, 1e8, 1e-5)


@pytest.mark.parametrize(
    ("delta", "loosest", "by"),
    [(1e-6, 1.001, "pld"), (2e-12, 1.03, "pld"), (1.001e-12, 1.05, "rdp")],
)
def test_pld_of_many_steps_is_not_below_the_exact_value(delta, loosest, by):
    # Sampled with all but certainty: a sum of Gaussians, yet composed step by step, with the
    # rounding of transforms.
    steps, z = 10_000, 100.0
    mu = math.sqrt(steps) / z
    exact = brentq(
        lambda e: norm.sf(e / mu - mu / 2) - math.exp(e + norm.logsf(e / mu + mu / 2)) - delta,
        0,
        50,
    )
    found, whose = accounting.smallest_epsilon(poisson(1 - 1e-12, z, steps), delta)
    assert exact <= found <= exact * loosest
    assert whose == by


def test_smallest_epsilon_compares_bounds_of_one_relation():
    cohorts = dp_events.repeated(dp_events.fixed_cohort_gaussian(47, 10, 1.0), 20)
    assert accounting.smallest_epsilon(cohorts, 1e-3, "rdp", "replace_one")[1] == "rdp"
    sampled = poisson(10 / 47, 1.0, 20)  # RDP would say less than PLD, of another relation
    found = accounting.smallest_epsilon(sampled, 1e-3, "pld", "replace_one")
    assert found == (accounting.epsilon(sampled, 1e-3, "pld", "replace_one"), "pld")
    assert found[0] > accounting.epsilon(sampled, 1e-3, "rdp")


@pytest.mark.parametrize("noise", [1e-6, 1e-5, 1e-4, 9e-4])
def test_epsilon_of_hardly_any_noise_is_that_of_its_gaussian(noise):
    found = accounting.smallest_epsilon(poisson(0.16, noise, 7), 1e-5)[0]
    assert 6 / (2 * noise**2) <= found < 8 / (2 * noise**2)  # all 7 draws are less likely than δ


def test_events_survive_json_to_the_last_bit():
    events = [
        dp_events.repeated(dp_events.poisson_gaussian(1 / 3, 0.1 + 0.2), 7),
        dp_events.composed([dp_events.gaussian(1.1), dp_events.fixed_cohort_gaussian(47, 10, 1.0)]),
        dp_events.truncated_gaussian(100, 0.1, 20, 1.0),
        dp_events.copies_gaussian(0.1, 1.0, 3),
        dp_events.best_of(dp_events.gaussian(1.0), mean_runs=9),
        dp_events.nothing(),
    ]
    for event in events:
        copy = stored_events.from_json(stored_events.to_json(event))
        assert stored_events.to_json(copy) == stored_events.to_json(event)
        assert type(copy) is type(event)


def test_settings_do_not_import_the_accountant():
    code = (
        "import sys, ecgexp.privacy.plan, ecgexp.privacy.sampling, ecgexp.privacy.noise, "
        "ecgexp.privacy.statement;"
        "print([m for m in ('dp_accounting', 'scipy', 'tensorflow') if m in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "[]\n"
    )
