"""Measure an epoch of `trainer=centralized` against a plain Keras loop on the same arrays.

    uv run python scripts/benchmarks/training.py [--beats 20000] [--repeats 5]

Epochs of the two alternate in one process, so that other load affects both; medians are compared.
This project's epoch includes everything that an experiment does per epoch except the evaluation:
gathering by index, progress, the yield, and the copy of the weights.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from ecgexp.augmentation import NoAugmentation
from ecgexp.cli.streams import command
from ecgexp.models.cnn1d import Cnn1d
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.settings import NotPrivate
from ecgexp.seeding import Seeds
from ecgexp.training.base import TrainingData
from ecgexp.training.centralized import Centralized
from ecgexp.training.loss import CrossEntropy

_CLASSES = ("N", "S", "V", "F", "Q")
_BATCH = 256


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--beats", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((options.beats, 180, 1), np.float32)
    labels = rng.integers(len(_CLASSES), size=options.beats)
    ours, keras = _ours(signal, labels, options.repeats + 1), _bare_keras(signal, labels)
    seconds: dict[str, list[float]] = {"bare Keras fit": [], "trainer=centralized": []}
    for _ in range(options.repeats + 1):
        for name, epochs in (("bare Keras fit", keras), ("trainer=centralized", ours)):
            started = time.perf_counter()
            next(epochs)
            seconds[name].append(time.perf_counter() - started)
    _print(
        {name: statistics.median(values[1:]) for name, values in seconds.items()}, options.beats
    )  # the first one compiles


def _ours(signal: np.ndarray, labels: np.ndarray, epochs: int) -> Iterator[None]:
    identity = np.arange(len(labels)).astype(str)
    data = TrainingData(
        features={"signal": signal},
        labels=labels,
        train=np.arange(len(labels)),
        class_names=_CLASSES,
        record_ids=identity,
        patient_ids=identity,
    )
    trainer = Centralized(epochs=epochs, batch_size=_BATCH)
    steps = trainer.train(
        data,
        build_model=lambda: Cnn1d().build({"signal": (180, 1)}, len(_CLASSES)),
        loss=CrossEntropy().build(np.bincount(labels)),
        augmentation=NoAugmentation(),
        ledger=Ledger(trainer.plan(NotPrivate(), data)),
        seeds=Seeds(0),
        on_progress=lambda **_: None,
    )
    for progress in steps:
        progress.weights()
        yield


def _bare_keras(signal: np.ndarray, labels: np.ndarray) -> Iterator[None]:
    model = Cnn1d().build({"signal": (180, 1)}, len(_CLASSES))
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    while True:
        model.fit({"signal": signal}, labels, batch_size=_BATCH, epochs=1, verbose=0)
        yield


def _print(medians: dict[str, float], beats: int) -> None:
    table = Table(
        "epoch",
        "median s",
        "beats/s",
        "of bare Keras",
        title=f"cnn1d, {beats} windows of 180, batch {_BATCH}",
    )
    for name, seconds in medians.items():
        table.add_row(
            name,
            f"{seconds:.3f}",
            f"{beats / seconds:,.0f}",
            f"{seconds / medians['bare Keras fit']:.3f}",
        )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
