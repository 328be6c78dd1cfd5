"""Rounds against the same arithmetic written out by hand."""

import numpy as np
import pytest
from clients import SIZES, build, by_hand, client_data, patient, train, update_by_hand

from ecgexp.settings.declaration import ConfigError

pytestmark = pytest.mark.slow


def close(weights, expected, tolerance=2e-6):
    for value, wanted in zip(weights, expected, strict=True):
        np.testing.assert_allclose(value, wanted, atol=tolerance)


def moved(weights):
    return [after - before for after, before in zip(weights, build().get_weights(), strict=True)]


def norm(update):
    return np.sqrt(sum(np.sum(np.square(part, dtype=np.float64)) for part in update))


@pytest.fixture(scope="module")
def data():
    return client_data()


@pytest.fixture(scope="module")
def fedavg(data):
    return train(data, num_rounds=3, client_epochs=2)[0]


def test_a_round_with_one_client_is_sgd_on_it():
    data = client_data({"a": 60})
    taken, _ = train(data, client_epochs=2)
    close(taken[0].weights(), by_hand(data, "a", epochs=2))


def test_the_average_weights_clients_by_their_beats(data, fedavg):
    updates = {client: update_by_hand(data, client, epochs=2) for client in SIZES}
    total = sum(SIZES.values())
    mean = [sum(SIZES[c] * updates[c][i] for c in SIZES) / total for i in range(len(updates["a"]))]
    close(moved(fedavg[0].weights()), mean)


def test_what_is_measured_is_what_the_clients_saw(fedavg):
    metrics = fedavg[0].train_metrics
    assert metrics["clients/used"] == metrics["clients/sampled"] == len(SIZES)
    assert metrics["clients/dropped"] == metrics["clients/non_finite"] == 0
    assert 0.5 < metrics["loss"] < 2
    parameters = sum(weight.size for weight in build().get_weights())
    assert metrics["bytes_up"] == metrics["bytes_down"] == 4 * parameters * len(SIZES)
    assert fedavg[-1].train_metrics["loss"] < metrics["loss"]


def test_fedprox_without_its_term_is_fedavg_and_with_it_stays_nearer(data, fedavg):
    same, _ = train(data, num_rounds=1, client_epochs=2, algorithm="fedprox", proximal_strength=0.0)
    close(same[0].weights(), fedavg[0].weights())
    held, _ = train(data, num_rounds=1, client_epochs=2, algorithm="fedprox", proximal_strength=3.0)
    assert norm(moved(held[0].weights())) < 0.95 * norm(moved(fedavg[0].weights()))


def test_fedsgd_takes_one_gradient_of_all_beats():
    data = client_data({"a": 16, "b": 16})
    taken, _ = train(data, algorithm="fedsgd", server_learning_rate=0.1)
    updates = [
        update_by_hand(data, client) for client in data.clients
    ]  # of one batch, so of one gradient
    close(moved(taken[0].weights()), [(a + b) / 2 for a, b in zip(*updates, strict=True)])


@pytest.mark.parametrize(
    ("algorithm", "optimizer", "rate"),
    [
        ("fedadam", "build_adam", 0.01),
        ("fedyogi", "build_yogi", 0.01),
        ("fedadagrad", "build_adagrad", 0.03),
    ],
)
def test_adaptive_servers_take_the_average_for_their_gradient(
    algorithm, optimizer, rate, data, fedavg
):
    import tensorflow as tf
    import tensorflow_federated as tff

    taken, _ = train(data, client_epochs=2, algorithm=algorithm)
    start = [tf.constant(weight) for weight in build().get_weights()]
    settings = {"epsilon": 1e-3} | ({} if algorithm == "fedadagrad" else {"beta_2": 0.99})
    server = getattr(tff.learning.optimizers, optimizer)(rate, **settings)
    state = server.initialize([tf.TensorSpec(weight.shape) for weight in start])
    _, expected = server.next(
        state, start, [tf.constant(-step) for step in moved(fedavg[0].weights())]
    )
    close(taken[0].weights(), expected, 1e-5)


def test_mime_lite_learns_and_counts_its_gradient(data):
    taken, _ = train(data, num_rounds=3, algorithm="mime_lite", client_momentum=0.9)
    assert taken[-1].train_metrics["loss"] < taken[0].train_metrics["loss"]
    assert (
        taken[0].train_metrics["bytes_up"] == taken[0].train_metrics["bytes_down"]
    )  # twice the model each way


@pytest.mark.parametrize("where", ["client", "server"])
def test_a_cosine_schedule_ends_where_nothing_moves(where, data):
    taken, _ = train(data, num_rounds=4, **{f"{where}_schedule": "cosine"})
    weights = [build().get_weights()] + [t.weights() for t in taken]
    steps = [
        norm([b - a for a, b in zip(*pair, strict=True)])
        for pair in zip(weights, weights[1:], strict=False)
    ]
    assert steps[3] < 0.4 * steps[0]
    plain, _ = train(data, num_rounds=4)
    close(taken[0].weights(), plain[0].weights())  # the first round has the whole rate


@pytest.mark.parametrize("aggregator", ["secure", "compressed", "robust"])
def test_other_aggregators_give_nearly_the_mean_where_nothing_is_wrong(aggregator, data, fedavg):
    taken, _ = train(data, client_epochs=2, aggregator=aggregator)
    mean = moved(fedavg[0].weights())
    difference = [a - b for a, b in zip(moved(taken[0].weights()), mean, strict=True)]
    assert norm(difference) < 1e-3 * norm(mean) + 1e-5
    said = {name for name in taken[0].train_metrics if name.startswith("aggregator/")}
    assert ({"aggregator/zeroed_count", "aggregator/clipping_norm"} <= said) == (
        aggregator != "compressed"
    )


def test_a_seed_decides_everything_and_threads_nothing(data, fedavg):
    again, _ = train(data, num_rounds=3, client_epochs=2)
    for one, other in zip(fedavg, again, strict=True):
        for value, wanted in zip(one.weights(), other.weights(), strict=True):
            np.testing.assert_array_equal(value, wanted)
    different, _ = train(data, client_epochs=2, seed=1)
    assert (
        norm([a - b for a, b in zip(different[0].weights(), fedavg[0].weights(), strict=True)])
        > 1e-4
    )


def test_a_checkpoint_of_another_model_is_refused(data, fedavg):
    import dataclasses

    from clients import PLAIN

    other = dataclasses.replace(PLAIN, dense_units=9)
    with pytest.raises(ValueError, match="another model, algorithm or aggregator"):
        train(data, num_rounds=3, resume_from=fedavg[0].checkpoint(), model=other)


def test_cohorts_have_the_size_that_was_asked_for(data):
    fixed, _ = train(data, num_rounds=3, sampling="fixed", clients_per_round=2)
    assert [t.train_metrics["clients/sampled"] for t in fixed] == [2, 2, 2]


def test_a_round_without_clients_changes_nothing(data):
    taken, _ = train(data, num_rounds=6, sampling="poisson", clients_per_round=1)
    sampled = [t.train_metrics["clients/sampled"] for t in taken]
    assert 0 in sampled  # of this seed
    assert max(sampled) > 0
    at = sampled.index(0)
    before = build().get_weights() if at == 0 else taken[at - 1].weights()
    for value, wanted in zip(taken[at].weights(), before, strict=True):
        np.testing.assert_array_equal(value, wanted)
    assert "loss" not in taken[at].train_metrics
    with pytest.raises(ConfigError, match=r"trainer\.min_clients=1: .* 0 of 0 sampled clients"):
        train(data, num_rounds=6, sampling="poisson", clients_per_round=1, min_clients=1)


def test_clients_that_drop_out_send_nothing(data):
    taken, _ = train(data, num_rounds=6, client_dropout=0.5)
    dropped = [t.train_metrics["clients/dropped"] for t in taken]
    assert 0 < np.mean(dropped) < len(SIZES)
    for epoch_result, missing in zip(taken, dropped, strict=True):
        assert epoch_result.train_metrics["clients/used"] == len(SIZES) - missing
        assert (
            epoch_result.train_metrics["bytes_up"]
            == (len(SIZES) - missing) / len(SIZES) * epoch_result.train_metrics["bytes_down"]
        )


def sick(data, client="b"):
    import dataclasses

    signal = data.features["signal"].copy()
    signal[data.clients[client][0]] = np.nan
    return dataclasses.replace(data, features={"signal": signal})


def test_a_client_of_no_numbers_is_named(data):
    with pytest.raises(
        ConfigError,
        match=r"the update of client b in round 1 is not finite.*trainer\.aggregator=robust",
    ):
        train(sick(data))


def test_robust_aggregator_continues_without_it(data):
    taken, _ = train(sick(data), aggregator="robust")
    assert taken[0].train_metrics["clients/non_finite"] == 1
    assert taken[0].train_metrics["clients/used"] == len(SIZES) - 1
    assert all(np.isfinite(value).all() for value in taken[0].weights())
    with pytest.raises(
        ConfigError, match=r"3 of 4 sampled clients sent a usable update.*1 not finite"
    ):
        train(sick(data), aggregator="robust", min_clients=4)


def test_dropout_and_augmented_views_follow_the_seed(data):
    import dataclasses

    from clients import PLAIN

    model = dataclasses.replace(PLAIN, dropout=0.5)
    one, other = (train(data, model=model)[0][0].weights() for _ in range(2))
    for value, wanted in zip(one, other, strict=True):
        np.testing.assert_array_equal(value, wanted)
    plain = train(data)[0][0].weights()
    assert norm([a - b for a, b in zip(one, plain, strict=True)]) > 1e-3


def test_a_lone_row_is_trained_on_by_strided_convolutions_too():
    """A client of one beat, and a last batch of one.

    Its weight is one beat's, and the process lives.
    """
    from ecgexp.models.resnet1d import Resnet1d

    model = Resnet1d(filters=(8, 16), normalization="none", dropout=0.0)
    taken, _ = train(client_data({"a": 17, "b": 1}), model=model)
    assert all(np.isfinite(value).all() for value in taken[0].weights())


def test_batch_normalization_is_refused(data):
    import dataclasses

    from clients import PLAIN

    with pytest.raises(ConfigError, match=r"use model\.normalization=group"):
        train(data, model=dataclasses.replace(PLAIN, normalization="batch"))


def test_models_of_this_process_work_on_after_a_run(data):
    model, batch = build(), {"signal": np.ones((2, 32, 1), np.float32)}
    before = model(batch).numpy()
    train(data)
    np.testing.assert_array_equal(model(batch).numpy(), before)
    model.set_weights(model.get_weights())


def test_privacy_without_noise_is_the_clipped_mean():
    data = client_data()
    clip = 0.05
    taken, _ = train(data, privacy=patient(l2_norm_clip=clip))
    updates = [update_by_hand(data, client) for client in SIZES]
    factors = [min(1.0, clip / norm(update)) for update in updates]
    assert min(factors) < 1
    mean = [
        sum(f * u[i] for f, u in zip(factors, updates, strict=True)) / len(SIZES)
        for i in range(len(updates[0]))
    ]
    close(moved(taken[0].weights()), mean)
