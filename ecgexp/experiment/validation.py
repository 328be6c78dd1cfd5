"""Scores on the validation beats after each epoch or round; the refusal of a diverged training."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ecgexp.evaluation.metrics import quick_scores
from ecgexp.experiment.clients import client_scores
from ecgexp.experiment.data import RunData
from ecgexp.settings.declaration import DataError
from ecgexp.training.base import EpochResult

if TYPE_CHECKING:
    from ecgexp.experiment.experiment import Experiment

Probabilities = Callable[[list[np.ndarray], np.ndarray], np.ndarray]
"""(weights, rows (n,)) -> probabilities (n, num_classes)."""


class Validation:
    """Evaluates the model of a run on its validation beats.

    Args:
      experiment: the experiment of the run.
      run_data: the data of the run.
      probabilities: of the run's model.
    """

    def __init__(self, experiment: "Experiment", run_data: RunData, probabilities: Probabilities):
        self._experiment, self._run_data = experiment, run_data
        self._probabilities = probabilities

    def scores_of_epoch(self, epoch_result: EpochResult) -> dict[str, float]:
        """Return the validation scores of an epoch or round, if it is finite.

        Args:
          epoch_result: the epoch or round.

        Raises:
          DataError: a weight or a probability is NaN or infinite or, without privacy, the training
            loss is NaN; earlier epochs are saved, this one is not.
        """
        weights = epoch_result.weights()
        broken = sum(np.count_nonzero(~np.isfinite(weight)) for weight in weights)
        if broken:
            raise self._diverged(epoch_result.step, f"{broken} weights are NaN or infinite")
        loss = epoch_result.train_metrics.get("loss", 0.0)
        # Only without privacy: whether a private run continues must not depend on the loss of one
        # beat.
        if not self._experiment.is_private and math.isnan(loss):
            raise self._diverged(epoch_result.step, f"the training loss is {loss}")
        try:
            return self.scores(weights)
        except DataError as error:
            raise self._diverged(epoch_result.step, str(error)) from error

    def scores(self, weights: list[np.ndarray]) -> dict[str, float]:
        """Return the scores on the validation beats, with clients also `clients/accuracy_...`.

        Args:
          weights: of the run's model.

        Returns:
          Score name -> score; empty if there are no validation beats.

        Raises:
          DataError: a probability is not finite.
        """
        data, rows = self._run_data.data, self._run_data.split.validation
        if not len(rows):
            return {}
        probabilities = self._probabilities(weights, rows)
        scores = dict(quick_scores(data.labels[rows], probabilities, data.class_names).values)
        if self._run_data.partition.is_pooled:
            return scores
        client_spread = client_scores(self._run_data, "validation", probabilities).spread()
        return scores | {f"clients/{name}": value for name, value in client_spread.items()}

    def _diverged(self, step: int, why: str) -> DataError:
        name, trainer = self._experiment.trainer.step_name, self._experiment.trainer
        rate = trainer.learning_rate_setting
        last = (
            f"{name} {step - 1} was the last finite one"
            if step > 1
            else f"there was no finite {name} before it"
        )
        return DataError(
            f"trainer.{rate}={getattr(trainer, rate):g}: training diverged in {name} {step}, "
            f"{last}: {why}; use a smaller one, e.g. "
            f"trainer.{rate}={getattr(trainer, rate) / 10:g}."
        )
