"""Repeated centralized training of one model, on other rows or weights, compiled once."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from ecgexp.augmentation.base import Augmentation
from ecgexp.seeding import Seeds
from ecgexp.training.base import (
    EpochResult,
    OnProgress,
    TrainingData,
    Weights,
    assign_arrays,
    to_arrays,
)
from ecgexp.training.centralized import Centralized, compiled_steps, finished_epoch
from ecgexp.training.loss import LossFn


class Retraining:
    """Trains as `Centralized` does, many times in a row, with one compilation.

    Compiling takes longer than training on the beats of one client. Construct and use it within the
    scope of one `tf.distribute` strategy.

    Args:
      settings: optimizer and batch size; the rates of each training replace its epochs and
        schedule.
      data: the beats, shared by all trainings.
      build_model: builds the model, with the initial weights of the run.
      loss: see `Trainer.train`.
      augmentation: see `Trainer.train`.
      seeds: the random streams of the run; every training draws from the same streams, as
        `Centralized` does.
    """

    def __init__(
        self,
        settings: Centralized,
        data: TrainingData,
        *,
        build_model: "Callable[[], tf.keras.Model]",
        loss: LossFn,
        augmentation: Augmentation,
        seeds: Seeds,
    ):
        self._settings, self._data, self._augmentation, self._seeds = (
            settings,
            data,
            augmentation,
            seeds,
        )
        with tf.distribute.get_strategy().scope():
            self._model = build_model()
            self._optimizer = settings.build_optimizer(1)
            self._optimizer.build(self._model.trainable_variables)
        self._fresh = to_arrays(self._model, self._optimizer)
        self._run_steps = compiled_steps(
            self._model,
            self._optimizer,
            data,
            loss,
            augmentation.build(),
            seeds.integer("augmentation"),
        )

    def train(
        self,
        rows: np.ndarray,
        rates: Sequence[float],
        *,
        on_progress: OnProgress,
        start: Weights | None = None,
    ) -> Iterator[EpochResult]:
        """Train on `rows` only, and yield after each pass over them.

        One training at a time: the next call starts from the initial state, and an earlier
        `EpochResult` then returns the weights of the later model.

        Args:
          rows: (num_rows,) indices into the beats.
          rates: the learning rate of each pass.
          on_progress: called with the progress within the pass.
          start: the weights to start from; None: the initial ones.

        Yields:
          The result of each pass.
        """
        positions, views = self._augmentation.expand(
            self._data.labels[rows], self._data.class_names
        )
        rows = rows[positions]
        # Two copies of one row give the same gradient; for one row TensorFlow can crash, see
        # `Centralized.steps_per_epoch`.
        if len(rows) == 1:
            rows, views = rows.repeat(2), views.repeat(2)
        assign_arrays(self._model, self._optimizer, self._fresh)
        if start is not None:
            self._model.set_weights(start)
        for epoch, rate in enumerate(rates, 1):
            self._optimizer.learning_rate = rate
            metrics = self._settings.run_epoch(
                epoch, self._model, self._run_steps, rows, views, self._seeds, on_progress
            )
            yield finished_epoch(epoch, self._model, self._optimizer, metrics)
