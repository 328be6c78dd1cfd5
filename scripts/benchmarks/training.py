"""Measure epochs of `trainer=centralized` and `trainer=dp`, and of a plain Keras loop.

    uv run python scripts/benchmarks/training.py [--model cnn1d] [--beats 20000] [--repeats 5]

Epochs of the three alternate in one process on the same arrays, so that other load affects all;
medians are compared. This project's epoch includes everything that an experiment does per epoch
except the evaluation: gathering by index, progress, the yield, and the copy of the weights; a
private epoch also sampling, padding, clipping, noise, and the ledger. `--processor-time` compares
the time of the process on all cores in place of elapsed time: use it on a machine that others use
too, with `--threads 1`.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from ecgexp.augmentation import NoAugmentation
from ecgexp.cli.streams import command
from ecgexp.models.cnn1d import Cnn1d
from ecgexp.models.cnn2d import Cnn2d
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.plan import Privacy
from ecgexp.privacy.settings import NotPrivate, PrivacySpec
from ecgexp.seeding import Seeds
from ecgexp.training.base import Trainer, TrainingData
from ecgexp.training.centralized import Centralized
from ecgexp.training.dp.trainer import DpSgd
from ecgexp.training.loss import CrossEntropy

_CLASSES = ("N", "S", "V", "F", "Q")
_BATCH = {"cnn1d": 256, "cnn2d": 50}
_MODELS = {"cnn1d": (Cnn1d, "signal", (180, 1)), "cnn2d": (Cnn2d, "image", (64, 64, 1))}
_NO_PRIVACY, _PRIVATE, _KERAS = "trainer=centralized", "trainer=dp", "bare Keras fit"


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=sorted(_MODELS), default="cnn1d")
    parser.add_argument("--beats", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0: one for each core")
    parser.add_argument("--processor-time", action="store_true")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    clock = time.process_time if options.processor_time else time.perf_counter
    epochs = _epochs(options.model, options.beats, options.repeats + 1)
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    for _ in range(options.repeats + 1):
        for name, steps in epochs.items():
            started = clock()
            next(steps)
            seconds[name].append(clock() - started)
    _print(
        {name: statistics.median(values[1:]) for name, values in seconds.items()}, options
    )  # the first one compiles


def _epochs(model: str, beats: int, epochs: int) -> dict[str, Iterator[None]]:
    settings, feature, shape = _MODELS[model]
    rng = np.random.default_rng(0)
    features = {feature: rng.standard_normal((beats, *shape), np.float32)}
    identity = np.arange(beats).astype(str)
    data = TrainingData(
        features=features,
        labels=rng.integers(len(_CLASSES), size=beats),
        train=np.arange(beats),
        class_names=_CLASSES,
        record_ids=identity,
        patient_ids=identity,
    )
    batch = _BATCH[model]

    def build() -> tf.keras.Model:
        return settings().build({feature: shape}, len(_CLASSES))

    return {
        _KERAS: _bare_keras(build(), features, data.labels, batch),
        _NO_PRIVACY: _ours(Centralized(epochs=epochs, batch_size=batch), NotPrivate(), data, build),
        _PRIVATE: _ours(
            DpSgd(epochs=epochs, expected_batch_size=batch),
            PrivacySpec(noise_multiplier=1.0),
            data,
            build,
        ),
    }


def _ours(
    trainer: Trainer, privacy: Privacy, data: TrainingData, build: Callable[[], tf.keras.Model]
) -> Iterator[None]:
    steps = trainer.train(
        data,
        build_model=build,
        loss=CrossEntropy().build(np.bincount(data.labels)),
        augmentation=NoAugmentation(),
        ledger=Ledger(trainer.plan(privacy, data)),
        seeds=Seeds(0),
        on_progress=lambda **_: None,
    )
    for progress in steps:
        progress.weights()
        yield


def _bare_keras(
    model: tf.keras.Model, features: Mapping[str, np.ndarray], labels: np.ndarray, batch: int
) -> Iterator[None]:
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    while True:
        model.fit(features, labels, batch_size=batch, epochs=1, verbose=0)
        yield


def _print(medians: dict[str, float], options: argparse.Namespace) -> None:
    """Print the table: the column `of centralized` is the speed relative to that trainer."""
    table = Table(
        "epoch",
        "median s",
        "beats/s",
        "of centralized",
        title=f"{options.model}, {options.beats} beats, batch {_BATCH[options.model]}",
    )
    for name, seconds in medians.items():
        table.add_row(
            name,
            f"{seconds:.3f}",
            f"{options.beats / seconds:,.0f}",
            f"{medians[_NO_PRIVACY] / seconds:.3f}",
        )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
