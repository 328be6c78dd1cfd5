"""A toy problem divided among a few clients, and federated training of it in one line."""

import dataclasses
import functools
from unittest import mock

import numpy as np
from toy import CLASSES, MODEL, WINDOW, toy_data

from ecgexp.augmentation import NoAugmentation
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.settings import NotPrivate, PrivacySpec
from ecgexp.seeding import Seeds
from ecgexp.training.federated.trainer import Federated
from ecgexp.training.loss import CrossEntropy

SIZES = {"a": 60, "b": 30, "c": 21, "d": 1}
PLAIN = dataclasses.replace(MODEL, dropout=0.0)


def build(model=PLAIN):
    import tensorflow as tf

    if tf.executing_eagerly():
        tf.keras.utils.set_random_seed(1)
    return model.build({"signal": (WINDOW, 1)}, len(CLASSES))


def client_data(sizes=SIZES):
    """The first rows of the toy data, divided in order; each client is one patient."""
    data = toy_data()
    ends = np.cumsum(list(sizes.values()))
    clients = {
        name: np.arange(end - size, end)
        for (name, size), end in zip(sizes.items(), ends, strict=True)
    }
    owners = np.array(["nobody"] * len(data.labels), dtype=object)
    for name, rows in clients.items():
        owners[rows] = name
    owners = owners.astype(str)
    return dataclasses.replace(
        data, train=np.arange(ends[-1]), clients=clients, record_ids=owners, patient_ids=owners
    )


@functools.cache
def loss():
    return CrossEntropy().build(np.ones(len(CLASSES)))


def ledger_of(trainer, data, privacy=None):
    return Ledger(trainer.plan(privacy or NotPrivate(), data))


_BUILDERS, _COMPILED = {}, {}


def _builder(model):
    """The same function for the same model."""
    return _BUILDERS.setdefault(repr(model), functools.partial(build, model))


def _compile_once(settings, build_model, loss, augmentation, **others):
    """`compile_round`, which takes most of a small training, once for the same arguments."""
    from ecgexp.training.federated import compiled_round

    ignored = {"client_dropout": 0.0}  # it decides who is there, not what is computed
    if (settings.client_schedule, settings.server_schedule) == ("constant", "constant"):
        ignored["num_rounds"] = 1
    key = repr((dataclasses.replace(settings, **ignored), augmentation, others))
    key = (key, build_model, loss)
    if key not in _COMPILED:
        runtime, state_type = compiled_round.compile_round(
            settings, build_model, loss, augmentation, **others
        )
        runtime.close = lambda: None
        _COMPILED[key] = runtime, state_type
    return _COMPILED[key]


def train(
    data,
    *,
    privacy=None,
    seed=0,
    model=PLAIN,
    ledger=None,
    resume_from=None,
    rounds=None,
    **settings,
):
    """All `EpochResult` of a run, their weights and checkpoints taken on the way.

    Trainings that differ in their data, seed or noise only share what is compiled.
    """
    trainer = Federated(
        **({"num_rounds": 1, "client_batch_size": 16, "client_learning_rate": 0.1} | settings)
    )
    ledger = ledger or ledger_of(trainer, data, privacy)
    with mock.patch("ecgexp.training.federated.rounds.compile_round", _compile_once):
        return _run(trainer, data, model, ledger, seed, resume_from, rounds), ledger


def _run(trainer, data, model, ledger, seed, resume_from, rounds):
    steps = trainer.train(
        data,
        build_model=_builder(model),
        loss=loss(),
        augmentation=NoAugmentation(),
        ledger=ledger,
        seeds=Seeds(seed),
        on_progress=lambda **_: None,
        resume_from=resume_from,
    )
    taken = []
    for epoch_result in steps:
        weights, checkpoint = epoch_result.weights(), epoch_result.checkpoint()
        taken.append(
            dataclasses.replace(
                epoch_result, weights=lambda w=weights: w, checkpoint=lambda c=checkpoint: c
            )
        )
        if rounds is not None and len(taken) == rounds:
            steps.close()
            break
    return taken


def patient(noise_multiplier=0.0, **settings):
    return PrivacySpec(noise_multiplier=noise_multiplier, unit="patient", **settings)


def by_hand(data, client, *, seed=0, round_num=1, batch_size=16, epochs=1, rate=0.1, start=None):
    """The weights after plain SGD of one client on its batches, in the order in which the trainer
    shows them.
    """
    import tensorflow as tf

    from ecgexp.training.federated.batches import ClientBatches

    model = build()
    if start is not None:
        model.set_weights(start)
    batches = ClientBatches(
        data,
        NoAugmentation(),
        sorted(data.clients),
        client_epochs=epochs,
        batch_size=batch_size,
        seeds=Seeds(seed),
    )
    per_beat = loss()
    for batch in batches.dataset(client, round_num):
        with tf.GradientTape() as tape:
            mean = tf.reduce_mean(per_beat(batch["y"], model(batch["x"], training=True)))
        for variable, gradient in zip(
            model.trainable_variables, tape.gradient(mean, model.trainable_variables), strict=True
        ):
            variable.assign_sub(rate * gradient)
    return model.get_weights()


def update_by_hand(data, client, **settings):
    start = build().get_weights()
    return [
        after - before
        for after, before in zip(by_hand(data, client, **settings), start, strict=True)
    ]
