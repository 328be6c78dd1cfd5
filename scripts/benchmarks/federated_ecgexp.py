"""The rounds of `federated.py` in this project, and in the plain TensorFlow loop."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from federated_pace import CLIENT_RATE, NUM_CLASSES, WINDOW, Problem, arrays

_SMALL = {
    "filters": (16, 32, 32),
    "kernel_sizes": (7, 5, 5),
    "pooled_length": 12,
    "dense_units": 32,
    "normalization": "none",
    "dropout": 0.0,
}


def rounds(variant: str, problem: Problem) -> Iterator[list[np.ndarray]]:
    """Yields the global weights after each round of a variant, e.g. `plain` or `inprocess 2`."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    initial = _build(problem).get_weights()
    return (
        _plain(problem, initial)
        if variant == "plain"
        else _ours(problem, initial, *variant.split())
    )


def _build(problem: Problem) -> Any:
    from ecgexp.models.cnn1d import Cnn1d

    settings = _SMALL if problem.model == "cnn1d_small" else {}
    return Cnn1d(**settings).build({"signal": (WINDOW, 1)}, NUM_CLASSES)


def _loss() -> Any:
    from ecgexp.training.loss import CrossEntropy

    return CrossEntropy().build(np.ones(NUM_CLASSES))


def _plain(problem: Problem, weights: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """FedAvg in plain TensorFlow: resident tensors, batches by index, the average in numpy."""
    import tensorflow as tf

    from ecgexp.seeding import Seeds

    model, loss_fn = _build(problem), _loss()
    signals, labels = (tf.constant(array) for array in arrays(problem))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)])
    def step(rows: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = model({"signal": tf.gather(signals, rows)}, training=True)
            loss = tf.reduce_mean(loss_fn(tf.gather(labels, rows), logits))
        gradients = tape.gradient(loss, model.trainable_variables)
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
            variable.assign_sub(CLIENT_RATE * gradient)
        return loss

    for round_num in range(1, problem.num_rounds + 1):
        total = [np.zeros_like(array) for array in weights]
        for client_id, rows in problem.clients.items():
            model.set_weights(weights)
            rng = Seeds(0).generator(
                f"client/{client_id}/{round_num}"
            )  # the order in which ours shows them
            order = rows[rng.permutation(len(rows))].astype(np.int32)
            for at in range(0, len(order), problem.batch_size):
                step(tf.constant(order[at : at + problem.batch_size]))
            for array, part in zip(total, model.get_weights(), strict=True):
                array += part * (len(rows) / (problem.num_clients * problem.beats))
        weights = total
        yield weights


def _ours(
    problem: Problem, initial: list[np.ndarray], runtime: str, concurrency: str | None = None
) -> Iterator[list[np.ndarray]]:
    """Everything that `trainer=federated` does in a round except the evaluation."""
    from ecgexp.augmentation import NoAugmentation
    from ecgexp.privacy.ledger import Ledger
    from ecgexp.privacy.settings import NotPrivate
    from ecgexp.seeding import Seeds
    from ecgexp.training.base import TrainingData
    from ecgexp.training.federated.trainer import Federated

    if concurrency:
        _pin(int(concurrency))
    signals, labels = arrays(problem)
    owners = np.repeat(list(problem.clients), problem.beats)
    data = TrainingData(
        features={"signal": signals},
        labels=labels,
        train=np.arange(len(labels)),
        class_names=("N", "S", "V", "F", "Q"),
        record_ids=owners,
        patient_ids=owners,
        clients=problem.clients,
    )
    trainer = Federated(
        num_rounds=problem.num_rounds,
        client_batch_size=problem.batch_size,
        client_learning_rate=CLIENT_RATE,
        server_learning_rate=1.0,
        runtime=runtime,
    )

    def build_model() -> Any:
        import tensorflow as tf

        model = _build(problem)
        if tf.executing_eagerly():
            model.set_weights(initial)
        return model

    steps = trainer.train(
        data,
        build_model=build_model,
        loss=_loss(),
        augmentation=NoAugmentation(),
        ledger=Ledger(trainer.plan(NotPrivate(), data)),
        seeds=Seeds(0),
        on_progress=lambda **_: None,
    )
    for progress in steps:
        yield progress.weights()


def _pin(concurrency: int) -> None:
    """A runtime with a set number of concurrent clients; runs have no setting for it."""
    from ecgexp.training.federated import rounds as rounds_module
    from ecgexp.training.federated.runtimes import in_process

    rounds_module.InProcess = functools.partial(in_process.InProcess, num_threads=concurrency)
