"""ε as printed, and as recomputed for the replicated implementation."""

import math
from dataclasses import replace

import pytest

from ecgexp.privacy.settings import PrivacySpec
from ecgexp.replication import reported_epsilon
from ecgexp.replication.protocol_errors import ProtocolErrors

# noise -> as printed there, right n by RDP, right n by PLD, no amplification; δ 4e-6.
TABLE = {
    0.8: (2.03, 2.19, 1.72, 39.9),
    1.0: (1.15, 1.29, 1.05, 29.3),
    1.4: (0.61, 0.68, 0.61, 18.7),
    2.0: (0.37, 0.42, 0.39, 11.9),
    2.4: (0.30, 0.34, 0.31, 9.6),
}


@pytest.fixture(scope="module")
def plan():
    """At noise 1.4."""
    spec = PrivacySpec(noise_multiplier=1.4, l2_norm_clip=1.5)
    made = spec.plan(
        num_units=reported_epsilon.TRAIN_ROWS,
        expected_batch_size=reported_epsilon.BATCH,
        epochs=reported_epsilon.EPOCHS,
    )
    return replace(made, delta=reported_epsilon.DELTA)


def of(plan, **on):
    return reported_epsilon.reported(
        ProtocolErrors(protocol="dp", **on), plan, all_rows=reported_epsilon.ALL_ROWS
    )


@pytest.mark.parametrize("noise", TABLE)
def test_the_ladder_is_the_table_that_was_recomputed(noise):
    (ladder,) = reported_epsilon.ladders([noise])
    printed, rdp, pld, unamplified = TABLE[noise]
    assert ladder.as_printed == pytest.approx(
        printed, rel=0.025
    )  # the original accountant had other orders
    assert ladder.right_count == pytest.approx(rdp, abs=0.0051)
    assert ladder.tight == pytest.approx(pld, abs=0.0055)
    assert ladder.no_amplification == pytest.approx(unamplified, abs=0.055)
    assert math.isinf(ladder.that_ran)


def test_ten_copies_of_a_beat_cost_8_09_at_noise_1_4():
    assert reported_epsilon.ladders([1.4])[0].ten_copies == pytest.approx(8.093, rel=1e-3)


def test_sweep_has_epsilon_at_every_noise_of_the_study():
    assert reported_epsilon.NOISES == (0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4)


def test_all_rows_and_rdp_are_what_was_printed(plan):
    assert of(plan, epsilon_of_all_rows=True).as_printed == pytest.approx(0.61, rel=0.025)
    assert of(plan, split_by_beat=True).as_printed == pytest.approx(0.6144, rel=1e-3)


def test_shuffled_batches_have_no_amplification(plan):
    with_epsilon = of(plan, shuffled_as_poisson=True)
    assert with_epsilon.as_printed == pytest.approx(0.6144, rel=1e-3)
    assert with_epsilon.had_it_run == with_epsilon.that_ran == pytest.approx(18.7, abs=0.055)


def test_noise_that_never_ran_has_no_guarantee(plan):
    with_epsilon = of(plan, noise_never_runs=True, epsilon_of_all_rows=True)
    assert math.isinf(with_epsilon.that_ran)
    assert "replication/epsilon_that_ran" not in with_epsilon.metrics()
    assert set(with_epsilon.metrics()) == {
        "replication/epsilon_as_printed",
        "replication/epsilon_had_it_run",
    }
    assert with_epsilon.as_dict()["epsilon_that_ran"] == "infinite"
    assert "infinite, since no noise was added" in with_epsilon.line()


def test_copies_in_shuffled_batches_cost_at_least_what_beats_do(plan):
    both = of(plan, shuffled_as_poisson=True, copies_as_beats=True).had_it_run
    # By hand: 20 passes, each a Gaussian whose sensitivity is ten clips: μ = √20 · 10 / 1.4; for
    # such μ ε is near μ²/2 + 4.47 μ.
    mu = math.sqrt(20) * 10 / 1.4
    assert both == pytest.approx(mu**2 / 2 + 4.465 * mu, rel=0.01)


def test_a_shuffled_plan_is_printed_as_poisson(plan):
    shuffled = replace(plan, sampling="shuffle")
    assert of(shuffled, shuffled_as_poisson=True) == of(plan, shuffled_as_poisson=True)
