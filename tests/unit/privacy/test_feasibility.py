"""The noise that a guarantee needs with few patients, against the published table."""

import io
import math

import pytest
from rich.console import Console

from ecgexp.privacy import accounting, dp_events
from ecgexp.privacy import feasibility as feasibility_module
from ecgexp.privacy.feasibility import (
    POPULATIONS,
    TARGETS,
    Feasibility,
    feasibility_of,
    noise_needed,
)
from ecgexp.privacy.feasibility_tables import render
from ecgexp.privacy.hypothetical import resized
from ecgexp.privacy.settings import NotPrivate, PrivacySpec
from ecgexp.settings.declaration import ConfigError

pytestmark = pytest.mark.filterwarnings(
    "ignore:privacy.delta=0.001 times"
)  # the δ of the published tables


def plan(units=47, cohort=10, rounds=20, **spec):
    delta = 1e-3 if units < 1000 else None
    spec = {"noise_multiplier": 1.0, "unit": "patient", "l2_norm_clip": 0.5, "delta": delta} | spec
    return PrivacySpec(**spec).plan(num_units=units, expected_batch_size=cohort, iterations=rounds)


def feasibility_table(own, num_parameters, population=None):
    """The tables for a plan, and for plans of 22 and 44 units at the same rate."""
    populations = {number for number in POPULATIONS if number > own.num_units}
    populations |= set() if population is None else {population}
    found = feasibility_of(
        own, beside(own), num_parameters=num_parameters, populations=sorted(populations)
    )
    return render(found)


def beside(own):
    others = [resized(own, number) for number in (22, 44)] if own.unit == "patient" else []
    return [*others, own]


def shown(renderable, width=80):
    text = io.StringIO()
    Console(file=text, width=width).print(renderable)
    return text.getvalue()


@pytest.mark.parametrize(
    ("rounds", "noises"), [(20, (2.70, 1.66, 1.08, 0.74)), (100, (5.60, 3.22, 1.93, 1.23))]
)
def test_ten_of_47_patients_need_the_published_noise(rounds, noises):
    rows = list(noise_needed(plan(rounds=rounds), 5_500))
    assert [row.target_epsilon for row in rows] == [1, 2, 4, 8]
    assert [row.noise_multiplier for row in rows] == pytest.approx(noises, abs=0.0051)
    for row in rows:  # 7.4 z C for 5 500 weights and cohorts of 10
        assert row.noise_norm == pytest.approx(7.416 * row.noise_multiplier * 0.5, rel=1e-3)
        assert row.noise_to_signal == pytest.approx(7.416 * row.noise_multiplier, rel=1e-3)
        assert row.signal_norm == 0.5


def test_noise_needed_meets_the_epsilon_a_run_reports():
    for row in noise_needed(plan(), 100):
        event = dp_events.repeated(dp_events.poisson_gaussian(10 / 47, row.noise_multiplier), 20)
        assert 0.99 * row.target_epsilon <= accounting.epsilon(event, 1e-3) <= row.target_epsilon


def test_the_noise_on_a_large_network_is_236_times_the_clip():
    row = next(iter(noise_needed(plan(accountant="rdp"), 5_570_000)))
    assert row.noise_norm / (row.noise_multiplier * 0.5) == pytest.approx(236, rel=2e-3)


def test_cohorts_of_constant_size_need_several_times_the_noise():
    fixed = [
        row.noise_multiplier for row in noise_needed(plan(sampling="fixed", accountant="rdp"), 100)
    ]
    poisson = [row.noise_multiplier for row in noise_needed(plan(), 100)]
    assert all(few > 3 * less for few, less in zip(fixed, poisson, strict=True))


def test_uncertifiable_target_is_infeasible_next_is_found(monkeypatch):
    monkeypatch.setattr(feasibility_module, "TARGETS", (1e-6, 2.0))
    impossible, possible = noise_needed(plan(accountant="rdp", rounds=10_000, delta=1e-5), 100)
    assert (
        impossible.noise_multiplier is impossible.noise_norm is impossible.noise_to_signal is None
    )
    event = dp_events.repeated(
        dp_events.poisson_gaussian(10 / 47, possible.noise_multiplier), 10_000
    )
    assert accounting.epsilon(event, 1e-5, "rdp") == pytest.approx(2.0, rel=3e-3)
    found = Feasibility(
        base=plan(),
        num_parameters=100,
        epsilons=(),
        hypothetical_populations=(),
        needed=(impossible, possible),
    )
    assert "infeasible" in shown(render(found))


def test_all_feasible_is_one_value_and_progress_is_counted():
    calls = []
    found = feasibility_of(
        plan(),
        beside(plan()),
        num_parameters=5_500,
        populations=(1_000, 10_000),
        on_progress=lambda done, total, what: calls.append((done, total)),
    )
    assert [plan_epsilon.plan.num_units for plan_epsilon in found.epsilons] == [22, 44, 47]
    assert found.epsilons[-1].epsilon_pld == pytest.approx(4.605, rel=1e-3)
    assert found.epsilons[-1].epsilon_rdp == pytest.approx(5.549, rel=1e-3)
    assert [
        hypothetical_population.population
        for hypothetical_population in found.hypothetical_populations
    ] == [
        1_000,
        10_000,
    ]
    assert tuple(row.target_epsilon for row in found.needed) == TARGETS
    assert calls == [(done, 9) for done in range(1, 10)]
    assert "small ε requires noise" in found.caution()


def test_a_plan_with_many_units_has_no_caution():
    found = feasibility_of(
        plan(units=1000, cohort=100, unit="beat", rounds=2), [], num_parameters=10
    )
    assert found.caution() == ""


def test_what_cannot_be_planned_is_refused():
    with pytest.raises(ValueError, match="a plan without a clip"):
        feasibility_table(
            NotPrivate().plan(num_units=47, expected_batch_size=10, iterations=2), 100
        )
    with pytest.raises(
        ConfigError, match="privacy.hypothetical_population=40 is below the 47 patients"
    ):
        feasibility_table(plan(accountant="rdp"), 100, 40)


def test_the_tables_are_plain_and_fit_eighty_columns():
    text = shown(feasibility_table(plan(), 5_500, 1_000_000))
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "…" not in text
    before, projected = text.split("Hypothetical populations — not a guarantee")
    projected, needed = projected.split("Noise needed: 10 of 47 patients, 20 rounds, δ 0.001, PLD")
    assert before.splitlines()[4].split() == ["47", "10", "0.213", "0.001", "4.61", "5.55"]
    assert "noise multiplier 1, 20 rounds" in before
    assert "1\N{NO-BREAK SPACE}000\N{NO-BREAK SPACE}000" in projected
    assert "1\N{NO-BREAK SPACE}000" not in before
    assert "2.71" in needed  # 2.7026: with 2.70 ε would be 1.0014
    assert "With 47 patients a small ε requires noise" in " ".join(needed.split())


def test_a_plan_of_beats_reads_as_one():
    text = shown(
        feasibility_table(
            plan(units=20_000, cohort=200, unit="beat", rounds=10, sampling="shuffle"), 100
        )
    )
    assert "One beat added or removed; each beat joins one step of each pass." in text
    assert "Hypothetical populations" not in text
    assert "small ε requires noise" not in text


def test_without_noise_epsilon_is_infinite_noise_is_named():
    text = shown(feasibility_table(plan(noise_multiplier=0.0, rounds=2), 100))
    assert "∞" in text
    assert "–" not in text.split("Noise needed")[1]


def test_every_patient_in_every_round_is_not_amplified():
    made = plan(cohort=47, accountant="rdp")
    found = feasibility_of(made, [made], num_parameters=100)
    assert "every patient joins every round" in shown(render(found))
    assert found.epsilons[0].epsilon_rdp == pytest.approx(
        accounting.epsilon(dp_events.gaussian(1 / math.sqrt(20)), 1e-3, "rdp"), rel=1e-9
    )
