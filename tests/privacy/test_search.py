"""The price of choosing among private runs, against goldens and against its own words."""

import math
from dataclasses import replace

import pytest

from ecgexp.privacy import accounting
from ecgexp.privacy.search_accounting import Charge, compose_epsilon, price_search

PARITY_Q, PARITY_STEPS, PARITY_DELTA = 100 / 52_367, 10_480, 4e-6
PARITY_NOISES = (0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4)


def charge(noise=1.4, *, q=PARITY_Q, steps=PARITY_STEPS, delta=PARITY_DELTA, **changes):
    event = accounting.to_json(accounting.repeated(accounting.poisson_gaussian(q, noise), steps))
    values = {"unit": "beat", "neighbouring": "add_or_remove_one", "accountant": "rdp", "makes_claim": True}
    return Charge(event=event, delta=delta, **(values | changes))


def test_the_parity_sweep_costs_2_86_where_its_noise_of_1_4_alone_costs_0_68():
    sweep = [charge(noise) for noise in PARITY_NOISES]
    assert compose_epsilon(sweep) == pytest.approx(2.86, abs=0.005)
    assert compose_epsilon([charge(1.4)]) == pytest.approx(0.68, abs=0.005)


def test_the_best_of_nine_equal_runs_costs_1_44():
    price = price_search([charge()] * 9)
    assert price.epsilon_best == pytest.approx(1.44, abs=0.005)
    assert price.epsilon_all > price.epsilon_best
    assert "Poisson" in price.text
    assert "1.44" in price.text


def test_the_best_never_costs_more_than_all():
    """At the costliest noise of the parity sweep the bound for the best of nine is 3.99, above the composition."""
    price = price_search([charge(noise) for noise in PARITY_NOISES])
    assert price.epsilon_best == price.epsilon_all == pytest.approx(2.86, abs=0.005)
    assert "3.99" in price.text


def test_seeds_of_one_setting_cost_their_repetition():
    three = compose_epsilon([charge()] * 3)
    longer = accounting.epsilon(
        accounting.repeated(accounting.poisson_gaussian(PARITY_Q, 1.4), 3 * PARITY_STEPS), PARITY_DELTA, "rdp"
    )
    assert three == pytest.approx(longer, rel=1e-9)


def test_pld_prices_what_pld_reported():
    runs = [charge(2.0, q=0.01, steps=100, accountant="pld"), charge(2.4, q=0.01, steps=100, accountant="pld")]
    assert compose_epsilon(runs) < compose_epsilon(runs, accountant="rdp")
    assert price_search(runs).accountant == "pld"
    assert price_search([runs[0], replace(runs[1], accountant="rdp")]).accountant == "rdp"


def test_the_smallest_delta_counts():
    strict, loose = charge(delta=1e-7), charge(delta=1e-4)
    assert price_search([strict, loose]).delta == 1e-7
    assert compose_epsilon([strict, loose]) == compose_epsilon([strict, strict])


@pytest.mark.parametrize("changes", [{"unit": "patient"}, {"neighbouring": "replace_one"}])
def test_promises_of_two_kinds_are_not_summed(changes):
    runs = [charge(), charge(**changes)]
    with pytest.raises(ValueError, match=r"units|compare"):
        compose_epsilon(runs)
    price = price_search(runs)
    assert price.metrics() == {}
    assert "no ε in common" in price.text


def test_a_run_without_a_promise_leaves_the_search_without_a_bound():
    runs = [charge(), charge(makes_claim=False)]
    assert math.isinf(compose_epsilon(runs))
    price = price_search(runs)
    assert price.epsilon_all is None
    assert price.metrics() == {}
    assert "no bound at all" in price.text
    assert price_search([charge(makes_claim=False)]) is None
    assert compose_epsilon([]) == 0.0


def test_runs_that_differ_in_more_than_noise_have_no_costliest_one():
    price = price_search([charge(1.4), charge(2.0, steps=20_000)])
    assert price.epsilon_best is None
    assert "differ in more than their noise" in price.text
    assert price.epsilon_all > 0


def test_a_bill_of_one_entry_is_read_like_the_plan():
    """The ledger wraps what ran in a composition, even if it was one thing only."""
    plain = charge(1.4)
    wrapped = replace(plain, event=accounting.to_json(accounting.composed([accounting.from_json(plain.event)])))
    assert price_search([plain, wrapped]).epsilon_best == price_search([plain, plain]).epsilon_best


def test_a_planned_charge_is_the_plan():
    from ecgexp.privacy.plan import PrivacySpec

    plan = PrivacySpec(noise_multiplier=1.4, delta=4e-6, l2_norm_clip=1.5).plan(
        num_units=52_367, expected_batch_size=100, iterations=PARITY_STEPS
    )
    planned = Charge.planned(plan)
    assert compose_epsilon([replace(planned, accountant="rdp")]) == pytest.approx(0.68, abs=0.005)
    assert (planned.unit, planned.delta, planned.makes_claim) == ("beat", 4e-6, True)
    assert not Charge.planned(replace(plan, noise_seed=1)).makes_claim
    lost = Charge.planned(plan, lost_steps=500)
    assert compose_epsilon([replace(lost, accountant="rdp")]) > compose_epsilon([replace(planned, accountant="rdp")])
