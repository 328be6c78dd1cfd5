"""Centralized training of one model again and again, on other rows or from other weights, compiled once."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ecgexp.seeding import Seeds
from ecgexp.training.base import EpochResult, OnProgress, TrainingData, Weights
from ecgexp.training.centralized import Centralized, compiled_steps, finished_epoch
from ecgexp.training.state import assign_arrays, to_arrays


class Retraining:
    """What `Centralized` does, for many trainings in a row: compiling takes longer than training on one client's beats.

    To be made and used within the scope of one `tf.distribute` strategy.

    Args:
      settings: optimizer and batch size; its epochs and schedule are replaced by the rates of each training.
      data: the beats; shared by all trainings, whatever rows they take.
      build_model: makes the model, with the run's initial weights.
      loss: see `Trainer.train`.
      augmentation: see `Trainer.train`.
      seeds: of the run; every training draws from the same streams, as `Centralized` would.
    """

    def __init__(
        self, settings: Centralized, data: TrainingData, *, build_model: Callable[[], Any], loss: Any, augmentation: Any,
        seeds: Seeds,
    ):  # fmt: skip
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
        """Trains on `rows` alone, and yields after each pass over them.

        One training at a time: the next call begins anew, and what an earlier `EpochResult` gives is then the later model.

        Args:
          rows: (num_rows,) indices into the beats.
          rates: the learning rate of each pass.
          on_progress: told about progress within the pass.
          start: the weights to begin from; None: the initial ones.
        """
        positions, views = self._augmentation.expand(
            self._data.labels[rows], self._data.class_names
        )
        rows = rows[positions]
        if (
            len(rows) == 1
        ):  # the same gradient, and not the one that crashes: see `Centralized.steps_per_epoch`
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
