"""DP-FedAvg: clip, noise, divisor, cohort and accounting, through real rounds.

And what happens when one of them is broken.
"""

import math

import numpy as np
import pytest
from clients import SIZES, build, client_data, ledger_of, patient, train, update_by_hand
from gaussian_pair import gaussian_pair

from ecgexp.privacy import accounting, dp_events
from ecgexp.privacy.ledger import Ledger, PrivacyViolation
from ecgexp.settings.declaration import ConfigError
from ecgexp.training.federated.trainer import Federated

pytestmark = pytest.mark.slow

CLIP = 0.05


def flat(weights):
    return np.concatenate([np.ravel(part) for part in weights]).astype(np.float64)


def moved(weights):
    return flat(weights) - flat(build().get_weights())


def clipped(update, clip=CLIP):
    update = flat(update)
    return update * min(1.0, clip / np.linalg.norm(update))


@pytest.fixture(scope="module")
def data():
    return client_data()


@pytest.fixture(scope="module")
def noisy(data):
    """Six rounds in which the noise is all there is to see."""
    return train(data, privacy=patient(100.0, l2_norm_clip=CLIP, noise_seed=3), num_rounds=6)


class Remembering:
    """Carries one client to the next."""

    def build(self, shapes, classes):
        import tensorflow as tf

        seen, layers = tf.Variable(0.0), tf.keras.layers
        signal = tf.keras.Input(shapes["signal"], name="signal")
        dense = layers.Dense(classes, activation=lambda values: values * seen.assign_add(1.0))
        return tf.keras.Model({"signal": signal}, dense(layers.Flatten()(signal)))


def test_model_that_keeps_state_between_clients_is_refused(data):
    with pytest.raises(
        ConfigError, match=r"activation runs AssignAddVariableOp.*use a function of tensors"
    ):
        train(data, privacy=patient(1.0), model=Remembering())


def test_without_noise_the_step_is_the_mean_of_clipped_updates(data):
    taken, _ = train(data, privacy=patient(l2_norm_clip=CLIP))
    expected = sum(clipped(update_by_hand(data, client)) for client in SIZES) / len(SIZES)
    np.testing.assert_allclose(moved(taken[0].weights()), expected, atol=2e-6)


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_one_more_patient_moves_the_sum_by_at_most_the_clip(data, scale):
    """Whatever its beats are; the divisor is the plan's, not the number of those who came."""
    import dataclasses

    signal = data.features["signal"].copy()
    signal[data.clients["a"]] *= scale
    data = dataclasses.replace(data, features={"signal": signal})
    without = dataclasses.replace(
        data, clients={name: rows for name, rows in data.clients.items() if name != "a"}
    )
    # The same divisor for both: 3 of 4 expected clients, by a cohort so large that everyone is
    # drawn.
    with_a = train(data, privacy=patient(l2_norm_clip=CLIP))[0][0]
    without_a = train(without, privacy=patient(l2_norm_clip=CLIP))[0][0]
    sums = moved(with_a.weights()) * 4, moved(without_a.weights()) * 3
    assert np.linalg.norm(sums[0] - sums[1]) <= CLIP * (1 + 1e-4)


def test_one_more_patient_moves_the_sum_by_at_most_the_clip_when_clients_fail():
    """Failures were assigned by position.

    Without the first patient others failed, and the sum moved by up to 1.9 clips.
    """
    import dataclasses

    data = client_data({f"{number:02d}": 12 for number in range(16)})
    less = dataclasses.replace(
        data, clients={name: rows for name, rows in data.clients.items() if name != "00"}
    )
    used = []
    for seed in range(3):
        full, part = (
            train(each, privacy=patient(l2_norm_clip=CLIP), client_dropout=0.3, seed=seed)[0][0]
            for each in (data, less)
        )
        sums = moved(full.weights()) * 16, moved(part.weights()) * 15
        assert np.linalg.norm(sums[0] - sums[1]) <= CLIP * (1 + 1e-4)
        used.append(full.train_metrics["clients/used"])
    assert min(used) < 16


def test_the_divisor_is_the_expected_cohort_not_the_one_that_came(data):
    taken, _ = train(
        data,
        privacy=patient(l2_norm_clip=CLIP, noise_seed=1),
        sampling="poisson",
        clients_per_round=2,
        num_rounds=1,
        seed=7,
    )
    came = int(taken[0].train_metrics["clients/used"])
    updates = {client: clipped(update_by_hand(data, client, seed=7)) for client in SIZES}
    step = moved(taken[0].weights()) * 2
    subsets = [s for s in range(1, 16) if bin(s).count("1") == came]
    errors = [
        np.abs(
            step - sum(updates[name] for bit, name in enumerate(sorted(SIZES)) if subset >> bit & 1)
        ).max()
        for subset in subsets
    ]
    assert came != 2  # of this seed: else the two divisors are one
    assert min(errors) < 5e-6


def test_the_noise_has_the_planned_strength_and_is_fresh_each_round(data, noisy):
    taken, ledger = noisy
    weights = [flat(build().get_weights())] + [
        flat(epoch_result.weights()) for epoch_result in taken
    ]
    steps = np.diff(weights, axis=0)
    expected = 100.0 * CLIP / len(SIZES)
    assert np.std(steps) == pytest.approx(expected, rel=0.05)
    correlations = np.corrcoef(steps)[np.triu_indices(len(steps), 1)]
    assert np.abs(correlations).max() < 5 / math.sqrt(steps.shape[1])
    assert ledger.plan.noise_std == 100.0 * CLIP
    assert taken[0].train_metrics["noise_std"] == pytest.approx(ledger.plan.noise_std, rel=0.05)


def test_round_without_clients_is_noised_and_recorded(data):
    taken, ledger = train(
        data,
        privacy=patient(1.0, l2_norm_clip=CLIP, noise_seed=3),
        sampling="poisson",
        clients_per_round=1,
        num_rounds=6,
    )
    empty = [
        epoch_result for epoch_result in taken if epoch_result.train_metrics["clients/sampled"] == 0
    ]
    assert empty
    assert ledger.steps == 6
    weights = [flat(build().get_weights())] + [
        flat(epoch_result.weights()) for epoch_result in taken
    ]
    for epoch_result in empty:
        step = weights[epoch_result.step] - weights[epoch_result.step - 1]
        assert np.std(step) == pytest.approx(CLIP, rel=0.1)  # z C over one expected client


def test_the_events_of_all_rounds_are_the_plans(data):
    privacy = patient(1.0, l2_norm_clip=CLIP, noise_seed=3)
    taken, ledger = train(
        data, privacy=privacy, sampling="poisson", clients_per_round=2, num_rounds=3
    )
    assert [epoch_result.dp_event for epoch_result in taken] == [
        dp_events.poisson_gaussian(0.5, 1.0)
    ] * 3
    assert ledger.epsilon_spent() == pytest.approx(
        accounting.epsilon(ledger.plan.dp_event, ledger.plan.delta, "pld", "add_or_remove_one")
    )


def test_cohorts_of_fixed_size_are_without_replacement(data):
    privacy = patient(1.0, l2_norm_clip=CLIP, noise_seed=3, sampling="fixed", accountant="rdp")
    taken, ledger = train(
        data, privacy=privacy, sampling="fixed", clients_per_round=2, num_rounds=2
    )
    assert [epoch_result.train_metrics["clients/sampled"] for epoch_result in taken] == [2, 2]
    assert ledger.plan.neighboring_relation == "replace_one"
    poisson = accounting.epsilon(
        dp_events.repeated(dp_events.poisson_gaussian(0.5, 1.0), 2),
        ledger.plan.delta,
        "rdp",
        "add_or_remove_one",
    )
    assert ledger.epsilon_spent() > poisson


def test_everybody_in_every_round_is_not_amplified(data):
    plan = ledger_of(Federated(num_rounds=3), data, patient(1.0)).plan
    plain = accounting.epsilon(
        dp_events.repeated(dp_events.gaussian(1.0), 3), plan.delta, "rdp", "add_or_remove_one"
    )
    assert accounting.epsilon(
        plan.dp_event, plan.delta, "rdp", "add_or_remove_one"
    ) == pytest.approx(plain, rel=1e-6)


def test_training_ends_before_the_round_that_would_exceed_the_budget(data):
    privacy = patient(2.0, l2_norm_clip=CLIP, noise_seed=3, max_epsilon=2.0)
    taken, ledger = train(data, privacy=privacy, num_rounds=8)
    assert 0 < len(taken) < 8
    assert ledger.stopped_by_budget
    assert ledger.epsilon_spent() <= 2.0
    with pytest.raises(
        ConfigError, match=r"privacy\.max_epsilon=0\.1: spent before the first step.*max_epsilon"
    ):
        train(data, privacy=patient(1.0, noise_seed=3, max_epsilon=0.1), num_rounds=2)


def test_resumed_run_ends_with_the_same_bits_and_epsilon(data, noisy):
    taken, ledger = noisy
    checkpoint = taken[1].checkpoint()
    restored = Ledger.from_dict(ledger.plan, checkpoint.meta["ledger"])
    rest, after = train(
        data,
        privacy=patient(100.0, l2_norm_clip=CLIP, noise_seed=3),
        num_rounds=6,
        resume_from=checkpoint,
        ledger=restored,
    )
    np.testing.assert_array_equal(flat(rest[-1].weights()), flat(taken[-1].weights()))
    assert after.epsilon_spent("rdp") == ledger.epsilon_spent("rdp")
    # Model and query hold the noised weights once; no further array looks like unit noise.
    stds = [np.std(array) for array in checkpoint.arrays.values() if array.size > 16]
    assert not any(0.8 < std < 1.2 for std in stds)


def test_noise_without_a_seed_is_different_each_time(data):
    runs = [
        flat(train(data, privacy=patient(1.0, l2_norm_clip=CLIP))[0][0].weights()) for _ in range(6)
    ]
    standard_error = 1 / math.sqrt(2 * (len(runs) - 1) * runs[0].size)
    assert standard_error < 0.1 / 5, runs[0].size  # a tenth, below, is hardly ever met by chance
    assert math.sqrt(np.var(runs, axis=0, ddof=1).mean()) == pytest.approx(
        CLIP / len(SIZES), rel=0.1
    )


def test_a_patient_of_no_numbers_contributes_nothing(data):
    import dataclasses

    signal = data.features["signal"].copy()
    signal[data.clients["b"][0]] = np.nan
    taken, _ = train(
        dataclasses.replace(data, features={"signal": signal}), privacy=patient(l2_norm_clip=CLIP)
    )
    expected = sum(
        clipped(update_by_hand(data, client)) for client in SIZES if client != "b"
    ) / len(SIZES)
    np.testing.assert_allclose(moved(taken[0].weights()), expected, atol=2e-6)
    assert taken[0].train_metrics["clients/non_finite"] == 1


def test_an_adapting_clip_follows_the_quantile_of_the_norms(data):
    """Without noise it settles so that about half of the updates are below it.

    From too small as from too large a start.
    """
    ends = []
    for start in (1e-3, 10.0):
        taken, _ = train(
            data,
            privacy=patient(l2_norm_clip=start),
            num_rounds=30,
            clipping="adaptive",
            clipping_rate=1.0,
            client_learning_rate=0.01,
        )
        ends.append(taken[-1].train_metrics["l2_norm_clip"])
        first = taken[0].train_metrics["l2_norm_clip"]
        assert first == pytest.approx(
            start * math.exp(0.5 if start < 1 else -0.5), rel=1e-4
        )  # none below, or all
    assert 0.3 < ends[0] / ends[1] < 3


def test_the_event_of_an_adapting_clip_is_that_of_its_two_sums():
    """Golden: z 0.5 with noise 0.5 on the count.

    The updates get (0.5^-2 - 1)^-1/2 = 0.5774, and both together cost z 0.5.
    """
    from ecgexp.training.federated.dp_query import mechanism_of

    plan = ledger_of(Federated(num_rounds=3), client_data(), patient(0.5)).plan
    mechanism = mechanism_of(Federated(clipping="adaptive", clipped_count_stddev=0.5), plan)
    assert mechanism.noise_multiplier == pytest.approx(1 / math.sqrt(3))
    both = gaussian_pair(mechanism.noise_multiplier, 2 * mechanism.count_stddev)
    assert both.noise_multiplier == pytest.approx(0.5)
    assert mechanism.event == dp_events.gaussian(0.5)


def test_a_count_with_too_little_noise_is_refused(data):
    with pytest.raises(ConfigError, match=r"use trainer\.clipped_count_stddev=1 or more"):
        train(data, privacy=patient(1.0), clipping="adaptive")  # a twentieth of four clients


@pytest.mark.parametrize(
    ("owners", "message"),
    [
        ({"a": "x", "b": "x"}, r"patient x is divided among 2 clients.*use partition=by_patient"),
        ({"a": ["x", "y"]}, r"client a holds 2 patients.*use partition=by_patient"),
    ],
)
def test_guarantee_for_units_that_are_no_clients_is_refused(data, owners, message):
    import dataclasses

    ids = data.patient_ids.astype(object)
    for client, names in owners.items():
        rows = data.clients[client]
        ids[rows] = names if isinstance(names, str) else np.resize(names, len(rows))
    with pytest.raises(ConfigError, match=message):
        ledger_of(Federated(), dataclasses.replace(data, patient_ids=ids.astype(str)), patient(1.0))


def test_another_training_than_the_planned_one_is_refused(data):
    ledger = ledger_of(Federated(num_rounds=5), data, patient(1.0))
    with pytest.raises(PrivacyViolation, match="steps 2 instead of 5"):
        train(data, ledger=ledger, num_rounds=2)


def _no_noise(monkeypatch):
    from ecgexp.training.federated import dp_query

    supplied = dp_query.with_noise
    monkeypatch.setattr(
        dp_query,
        "with_noise",
        lambda state, noise, count: supplied(state, [0 * n for n in noise], count),
    )


def _tenth_of_the_noise(monkeypatch):
    from ecgexp.training.federated import dp_query

    supplied = dp_query.with_noise
    monkeypatch.setattr(
        dp_query,
        "with_noise",
        lambda state, noise, count: supplied(state, [n / 10 for n in noise], count),
    )


def _noise_over_the_divisor(monkeypatch):
    from ecgexp.training.federated import dp_query

    supplied = dp_query.mechanism_of

    def weaker(settings, plan):
        import dataclasses

        mechanism = supplied(settings, plan)
        return dataclasses.replace(
            mechanism, noise_multiplier=mechanism.noise_multiplier / mechanism.divisor
        )

    monkeypatch.setattr(dp_query, "mechanism_of", weaker)


def _same_noise_each_round(monkeypatch):
    from ecgexp.privacy.noise import NoiseSource

    monkeypatch.setattr(
        NoiseSource,
        "normal",
        lambda self, size, std: np.random.default_rng(0).normal(size=size).astype(np.float32),
    )


def _a_round_that_is_not_recorded(monkeypatch):
    monkeypatch.setattr(Ledger, "record", lambda self, event, count=1: None)


@pytest.mark.parametrize(
    "mutate",
    [
        _no_noise,
        _tenth_of_the_noise,
        _noise_over_the_divisor,
        _same_noise_each_round,
        _a_round_that_is_not_recorded,
    ],
)
def test_run_that_breaks_its_guarantee_has_none(mutate, data, monkeypatch):
    mutate(monkeypatch)
    with pytest.raises(PrivacyViolation):
        train(data, privacy=patient(1.0, l2_norm_clip=CLIP), num_rounds=2)
