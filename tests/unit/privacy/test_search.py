"""The privacy loss of choosing among private runs, against goldens and its own statement."""

import math
from dataclasses import replace

import pytest

from ecgexp.privacy import accounting, dp_events, stored_events
from ecgexp.privacy.search_accounting import compose_epsilon, search_privacy_loss
from ecgexp.privacy.spent import PrivacySpent

STUDY_Q, STUDY_STEPS, STUDY_DELTA = 100 / 52_367, 10_480, 4e-6
STUDY_NOISES = (0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4)


def spent(noise=1.4, *, q=STUDY_Q, steps=STUDY_STEPS, delta=STUDY_DELTA, **changes):
    event = stored_events.to_json(dp_events.repeated(dp_events.poisson_gaussian(q, noise), steps))
    values = {
        "unit": "beat",
        "neighboring_relation": "add_or_remove_one",
        "accountant": "rdp",
        "has_privacy_guarantee": True,
    }
    return PrivacySpent(event=event, delta=delta, **(values | changes))


def test_replicated_sweep_spends_2_86_and_one_run_0_68():
    sweep = [spent(noise) for noise in STUDY_NOISES]
    assert compose_epsilon(sweep) == pytest.approx(2.86, abs=0.005)
    assert compose_epsilon([spent(1.4)]) == pytest.approx(0.68, abs=0.005)


def test_the_best_of_nine_equal_runs_costs_1_44():
    search_loss = search_privacy_loss([spent()] * 9)
    assert search_loss.epsilon_best == pytest.approx(1.44, abs=0.005)
    assert search_loss.epsilon_all > search_loss.epsilon_best
    assert "Poisson" in search_loss.text
    assert "1.44" in search_loss.text


def test_short_form_has_the_bound_of_all_and_what_it_leaves_out():
    short = search_privacy_loss([spent()] * 9).short
    assert short.startswith("all 9 private runs of this sweep, or the best one: ε = ")
    assert "unit: beat" in short
    runs = [spent(), replace(spent(), has_privacy_guarantee=False)]
    found = search_privacy_loss(runs, unknown=2).short
    for part in ("the one private run", "at least ε", "1 run without", "2 runs: loss unknown"):
        assert part in found
    assert "no joint ε" in search_privacy_loss([spent(), spent(unit="patient")]).short


def test_the_best_never_costs_more_than_all():
    """At the least noise of the replicated sweep the bound for the best of nine is 3.99, above the
    composition.
    """
    search_loss = search_privacy_loss([spent(noise) for noise in STUDY_NOISES])
    assert search_loss.epsilon_best == search_loss.epsilon_all == pytest.approx(2.86, abs=0.005)
    assert "3.99" in search_loss.text


def test_seeds_of_one_setting_cost_their_repetition():
    three = compose_epsilon([spent()] * 3)
    longer = accounting.epsilon(
        dp_events.repeated(dp_events.poisson_gaussian(STUDY_Q, 1.4), 3 * STUDY_STEPS),
        STUDY_DELTA,
        "rdp",
    )
    assert three == pytest.approx(longer, rel=1e-9)


def test_pld_accounts_what_pld_reported():
    runs = [
        spent(2.0, q=0.01, steps=100, accountant="pld"),
        spent(2.4, q=0.01, steps=100, accountant="pld"),
    ]
    assert compose_epsilon(runs) < compose_epsilon(runs, accountant="rdp")
    assert search_privacy_loss(runs).accountant == "pld"
    assert search_privacy_loss([runs[0], replace(runs[1], accountant="rdp")]).accountant == "rdp"


def test_the_smallest_delta_counts():
    strict, loose = spent(delta=1e-7), spent(delta=1e-4)
    assert search_privacy_loss([strict, loose]).delta == 1e-7
    assert compose_epsilon([strict, loose]) == compose_epsilon([strict, strict])


@pytest.mark.parametrize("changes", [{"unit": "patient"}, {"neighboring_relation": "replace_one"}])
def test_guarantees_of_two_kinds_are_not_summed(changes):
    runs = [spent(), spent(**changes)]
    with pytest.raises(ValueError, match=r"units|neighboring relations"):
        compose_epsilon(runs)
    search_loss = search_privacy_loss(runs)
    assert search_loss.metrics() == {}
    assert "no joint ε" in search_loss.text


def test_run_without_guarantee_leaves_no_bound_for_the_search():
    runs = [spent(), spent(has_privacy_guarantee=False)]
    assert math.isinf(compose_epsilon(runs))
    search_loss = search_privacy_loss(runs)
    assert search_loss.epsilon_all is None
    assert search_loss.metrics() == {}
    assert "no bound at all" in search_loss.text
    assert search_privacy_loss([spent(has_privacy_guarantee=False)]) is None
    assert compose_epsilon([]) == 0.0


def test_runs_that_differ_in_more_than_noise_have_no_largest():
    search_loss = search_privacy_loss([spent(1.4), spent(2.0, steps=20_000)])
    assert search_loss.epsilon_best is None
    assert "differ in more than their noise" in search_loss.text
    assert search_loss.epsilon_all > 0


def test_one_recorded_event_is_read_like_the_plan():
    """The ledger wraps what ran in a composition, even if it was one thing only."""
    plain = spent(1.4)
    wrapped = replace(
        plain,
        event=stored_events.to_json(dp_events.composed([stored_events.from_json(plain.event)])),
    )
    assert (
        search_privacy_loss([plain, wrapped]).epsilon_best
        == search_privacy_loss([plain, plain]).epsilon_best
    )


def test_planned_loss_is_the_plan():
    from ecgexp.privacy.settings import PrivacySpec

    plan = PrivacySpec(noise_multiplier=1.4, delta=4e-6, l2_norm_clip=1.5).plan(
        num_units=52_367, expected_batch_size=100, iterations=STUDY_STEPS
    )
    planned = PrivacySpent.planned(plan)
    assert compose_epsilon([replace(planned, accountant="rdp")]) == pytest.approx(0.68, abs=0.005)
    assert (planned.unit, planned.delta, planned.has_privacy_guarantee) == ("beat", 4e-6, True)
    assert not PrivacySpent.planned(replace(plan, noise_seed=1)).has_privacy_guarantee
    lost = PrivacySpent.planned(plan, discarded_steps=500)
    assert compose_epsilon([replace(lost, accountant="rdp")]) > compose_epsilon(
        [replace(planned, accountant="rdp")]
    )
