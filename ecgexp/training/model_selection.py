"""Model selection and early stopping, decided on validation beats and never on test beats."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

import numpy as np

from ecgexp.evaluation.names import better_by
from ecgexp.settings.declaration import ConfigError, Count, NonNegative, settings
from ecgexp.training.base import EpochResult, Weights


@settings
class Selection:
    """The settings of model selection and early stopping.

    Attributes:
      metric: a validation score without its prefix, e.g. `macro_f1`, `loss`, `f1/V`. An epoch in
        which it is undefined is never preferred to one in which it is defined, and does not count
        as an improvement.
      mode: whether a larger (`max`) or a smaller (`min`) value is better; the wrong direction for a
        known metric is refused.
      weights: `best` keeps the epoch with the best score, `last` the last one. `auto` is `last`
        under privacy, since a selection on validation beats is not covered by the privacy
        guarantee, and `best` otherwise.
      patience: epochs without improvement after which training stops; None trains to the end.
      min_delta: smallest change that counts as an improvement.

    Example:
      >>> Selection(metric="loss", mode="min").weights
      'auto'
    """

    metric: str = "macro_f1"
    mode: Literal["max", "min"] = "max"
    weights: Literal["auto", "best", "last"] = "auto"
    patience: Count | None = None
    min_delta: NonNegative = 0.0

    def __post_init__(self):
        mode = better_by(self.metric)
        if mode is not None and mode != self.mode:
            raise ConfigError(
                f"selection.mode={self.mode}: the {self.mode}imum of {self.metric} is its worst "
                f"epoch; use selection.mode={mode}."
            )

    def needs_validation(self, is_private: bool) -> bool:
        """Return whether the selected weights depend on validation beats.

        Args:
          is_private: whether training is private; decides what `auto` means.
        """
        return (
            self.weights == "best"
            or (self.weights == "auto" and not is_private)
            or self.patience is not None
        )

    def check_metric(self, scores: Collection[str]) -> None:
        """Check that the metric is one of the validation scores.

        Args:
          scores: names of the validation scores.

        Raises:
          ConfigError: it is not; the message lists them.
        """
        if self.metric not in scores:
            raise ConfigError(
                f"selection.metric={self.metric}: not a validation score; use one of: "
                f"{', '.join(sorted(scores))}."
            )


class ModelSelector:
    """Holds the weights that are selected so far.

    Args:
      selection: the rule.
      is_private: whether training is private.

    Attributes:
      uses_validation: whether the weights depend on validation beats; the privacy statement says
        so.
      weights: of the selected epoch.
      step: the selected epoch, 1-based; 0 before the first.
      score: its score.
      keeps: `best` or `last`.
    """

    def __init__(self, selection: Selection, *, is_private: bool):
        self._rule = selection
        self.keeps = (
            "last"
            if selection.weights == "last" or (selection.weights == "auto" and is_private)
            else "best"
        )
        self.uses_validation = selection.needs_validation(is_private)
        self.weights: Weights = []
        self.step = 0
        self.score = float("nan")
        self._best = float("nan")
        self._steps_since = 0

    def update(self, epoch_result: EpochResult, scores: dict[str, float]) -> bool:
        """Select the weights of `epoch_result` if the rule says so.

        Args:
          epoch_result: the finished epoch or round.
          scores: its validation scores by name; empty where there are none.

        Returns:
          Whether training should continue.

        Raises:
          ConfigError: the validation scores do not contain the metric; the message lists them.
        """
        score = self._looked_up(scores) if scores else float("nan")
        improved = self._improves(score)
        # While no score is defined, there is no reason to prefer an earlier epoch.
        if improved or self.keeps == "last" or np.isnan(self._best):
            self.weights, self.step, self.score = epoch_result.weights(), epoch_result.step, score
        self._steps_since = 0 if improved else self._steps_since + 1
        if improved:
            self._best = score
        return self._rule.patience is None or self._steps_since < self._rule.patience

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the state for a checkpoint: the selected weights, and JSON-serializable values."""
        arrays = {str(i): array for i, array in enumerate(self.weights)}
        meta = {
            "step": self.step,
            "score": self.score,
            "best": self._best,
            "steps_since": self._steps_since,
        }
        return arrays, meta

    def restore(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        """Restore what `state` returned.

        Args:
          arrays: the selected weights by name.
          meta: the other values.
        """
        self.weights = [arrays[str(i)] for i in range(len(arrays))]
        self.step, self.score = int(meta["step"]), float(meta["score"])
        self._best, self._steps_since = float(meta["best"]), int(meta["steps_since"])

    def as_dict(self) -> dict[str, Any]:
        """Return the entry in `result.json`."""
        return {
            "step": self.step,
            "metric": f"validation/{self._rule.metric}",
            "score": self.score,
            "kept": self.keeps,
        }

    def _improves(self, score: float) -> bool:
        if np.isnan(score):
            return False
        if np.isnan(self._best):
            return True  # the first that is defined
        gain = score - self._best if self._rule.mode == "max" else self._best - score
        return gain > self._rule.min_delta

    def _looked_up(self, scores: dict[str, float]) -> float:
        self._rule.check_metric(scores)
        return scores[self._rule.metric]
