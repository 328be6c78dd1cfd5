"""A heartbeat that is in several rows.

Refused, or accounted for as a group, and the ε of rows that share samples.
"""

import math
import re

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import binom, norm

from ecgexp.privacy import accounting, dp_events, publication, stored_events
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.settings import PrivacySpec
from ecgexp.privacy.statement import state
from ecgexp.privacy.unit_checks import Overlap
from ecgexp.settings.declaration import ConfigError, build

THREE = Overlap(
    rows=400,
    rows_with_other_peak=390,
    rows_per_peak=3,
    rows_sharing=400,
    rows_per_beat=5,
    nearest_ms=700.4,
    where="record 101 sample 468",
)
SHARED = Overlap(
    rows=400, rows_sharing=40, rows_per_beat=2, nearest_ms=400.0, where="record 101 sample 468"
)


def plan(overlap=None, units=400, batch=64, steps=7, **spec):
    spec = {"noise_multiplier": 1.0} | spec
    return PrivacySpec(**spec).plan(
        num_units=units, expected_batch_size=batch, iterations=steps, overlap=overlap
    )


def finished(made):
    ledger = Ledger(made)
    for step in range(made.iterations):
        ledger.record(made.event_at(step))
    return ledger


def exact_epsilon(chances, sensitivities, z, delta):
    """By numerical integration: the larger of both directions' ε of one step."""

    def mixed(x):
        return float(np.dot(chances, norm.pdf(x, sensitivities, z)))

    def plain(x):
        return float(norm.pdf(x, 0, z))

    def excess(eps, a, b):
        ends = (-12 * z, max(sensitivities) + 12 * z)
        return quad(lambda x: max(0.0, a(x) - math.exp(eps) * b(x)), *ends, limit=500)[0] - delta

    return max(
        brentq(excess, 0, 40, args=pair, xtol=1e-5) for pair in ((mixed, plain), (plain, mixed))
    )


@pytest.mark.parametrize(("q", "z", "rows"), [(0.3, 1.0, 3), (0.1, 2.0, 2), (0.5, 3.0, 4)])
def test_mixture_equals_the_hockey_stick_integral(q, z, rows):
    chances = binom.pmf(range(rows + 1), rows, q)
    exact = exact_epsilon(chances, np.arange(rows + 1), z, 1e-4)
    found = accounting.epsilon(dp_events.copies_gaussian(q, z, rows), 1e-4)
    assert exact - 1e-4 <= found <= exact * 1.002 + 1e-3


def test_mixture_without_sampling_is_a_gaussian_of_all_rows():
    certain = dp_events.repeated(dp_events.copies_gaussian(1.0, 3.0, 3), 5)
    assert accounting.epsilon(certain, 1e-5) == pytest.approx(
        accounting.epsilon(dp_events.repeated(dp_events.gaussian(1.0), 5), 1e-5), rel=1e-3
    )


def test_window_that_holds_another_peak_is_refused(caplog):
    """The refusal is published, so which rows these are, and how many, stands in the log alone,
    which is withheld.
    """
    with pytest.raises(
        ConfigError, match=r"up to 3 rows.*use a dataset\.window_ms.*privacy\.group=overlap"
    ) as refusal:
        plan(THREE)
    assert not re.search(r"390|400|700|101", str(refusal.value))
    assert re.search(r"390 of 400.*record 101.*window_ms=\[700,700\]", caplog.text)
    assert not publication.is_published("log line", caplog.records[0].name)
    with pytest.raises(ConfigError, match="up to 3 rows"):
        plan(THREE, noise_multiplier=None, target_epsilon=3.0)


@pytest.mark.parametrize(
    "spec",
    [{"unit": "patient"}, {"unit": "record"}, {"noise_multiplier": 0.0}, {"group": "overlap"}],
)
def test_window_that_holds_another_peak_matters_to_rows_only(spec):
    assert plan(THREE, **spec)


def test_group_is_recorded_as_a_mixture_of_its_rows():
    made = plan(THREE, group="overlap")
    assert made.rows_per_unit == 3
    assert made.step_event == dp_events.copies_gaussian(64 / 400, 1.0, 3)
    ledger = finished(made)
    assert ledger.event == dp_events.composed([dp_events.repeated(made.step_event, 7)])
    assert Ledger.from_dict(made, ledger.to_dict()).epsilon_spent() == ledger.epsilon_spent()
    written = stored_events.to_json(ledger.event)
    assert stored_events.to_json(stored_events.from_json(written)) == written
    assert ledger.epsilon_spent() > 2 * finished(plan()).epsilon_spent()


def test_group_is_calibrated_to_its_target():
    made = plan(THREE, noise_multiplier=None, target_epsilon=3.0, group="overlap")
    assert 2.99 < finished(made).epsilon_spent() <= 3.0
    assert (
        made.noise_multiplier > 2 * plan(noise_multiplier=None, target_epsilon=3.0).noise_multiplier
    )


def test_group_stops_at_its_budget():
    made = plan(THREE, group="overlap", max_epsilon=8.0)
    ledger = Ledger(made)
    while not ledger.would_exceed(made.step_event) and ledger.steps < 7:
        ledger.record(made.step_event)
    assert ledger.stopped_by_budget
    assert ledger.epsilon_spent() <= 8.0


@pytest.mark.parametrize(
    ("spec", "remedy"),
    [
        ({"accountant": "rdp"}, "privacy.accountant=pld"),
        ({"sampling": "shuffle"}, "privacy.sampling=poisson"),
        ({"sampling": "fixed", "accountant": "rdp"}, "privacy.accountant=pld"),
        ({"batch_capacity": 100}, "privacy.batch_capacity=null"),
        ({"unit": "patient"}, "privacy.group=null"),
        ({"unit": "record"}, "privacy.group=null"),
    ],
)
def test_group_that_has_no_event_is_refused(spec, remedy):
    with pytest.raises(ConfigError, match=f"privacy.group=overlap: .*use {remedy}"):
        build(PrivacySpec, {"noise_multiplier": 1.0, "group": "overlap"} | spec, path="privacy")


def test_statement_says_the_epsilon_of_rows_that_share_samples():
    found = state(finished(plan(SHARED)))
    by_hand = accounting.epsilon(
        dp_events.repeated(dp_events.copies_gaussian(64 / 400, 1.0, 2), 7), 1e-5
    )
    assert found.epsilon_overlap == pytest.approx(by_hand)
    assert "ε of 2 rows that share samples: " in found.line()
    assert "up to 2 rows share samples" in found.text()
    assert found.as_dict()["epsilon_overlap"] == found.epsilon_overlap
    assert found.as_dict()["overlapping_rows"] == 2
    assert found.epsilon == state(finished(plan())).epsilon


def test_statement_of_a_group_names_its_rows():
    found = state(finished(plan(THREE, group="overlap")))
    assert "unit: beat (3 overlapping rows)" in found.line()
    assert "ε of 5 rows that share samples" in found.line()
    assert found.epsilon_overlap > found.epsilon
    assert found.as_dict()["rows_per_unit"] == 3


def test_statement_without_overlap_says_nothing_of_it():
    found = state(finished(plan()))
    assert "share samples" not in found.line()
    assert "Windows overlap" not in found.text()
    assert found.as_dict()["epsilon_overlap"] is None


def test_mixture_of_nearly_certain_rows_has_a_bound():
    found = accounting.epsilon(dp_events.copies_gaussian(0.9, 20.0, 20), 1e-5)
    assert found <= accounting.epsilon(dp_events.gaussian(1.0), 1e-5)
    assert found > accounting.epsilon(
        dp_events.gaussian(20 / 16), 1e-5
    )  # at least 16 of 20 enter with chance 0.96


def test_group_of_shuffled_rows_is_all_of_them_in_one_batch():
    found = state(finished(plan(SHARED, sampling="shuffle")))
    assert found.epsilon_overlap == pytest.approx(accounting.epsilon(dp_events.gaussian(0.5), 1e-5))


def test_group_of_cut_batches_has_no_known_bound():
    assert dp_events.of_group(dp_events.truncated_gaussian(400, 0.16, 70, 1.0), 2) is None
    assert (
        dp_events.of_group(
            dp_events.composed([dp_events.truncated_gaussian(400, 0.16, 70, 1.0)]), 2
        )
        is None
    )


@pytest.mark.parametrize(
    ("q", "smaller", "rows"),
    [(0.16, 3, 4), (0.16, 3, 7), (0.99, 10, 12), (1 / 3, 2, 3), (1.0, 2, 3)],
)
def test_group_of_a_group_keeps_its_sampling(q, smaller, rows):
    larger = dp_events.of_group(dp_events.copies_gaussian(q, 1.3, smaller), rows)
    direct = dp_events.copies_gaussian(q, 1.3, rows)
    np.testing.assert_allclose(larger.sampling_probs, direct.sampling_probs, rtol=1e-9, atol=1e-30)
    assert larger.sensitivities == direct.sensitivities
