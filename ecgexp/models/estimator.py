"""Classical models: fitted in one step, without gradients, and computed by NumPy alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeGuard, cast, runtime_checkable

import numpy as np

from ecgexp.features.inputs import Shape
from ecgexp.models.base import ModelBuilder, NetworkBuilder


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Beats to fit a model to.

    Attributes:
      features: name -> (num_beats, ...) array.
      labels: (num_beats,) int64.
      class_names: in the order of the labels.
      patient_ids: (num_beats,) str.
      record_ids: (num_beats,) str; beats of a record are in the order of time.
      previous_s: (num_beats,) float32, seconds from the beat before; None where nobody knows them.
    """

    features: Mapping[str, np.ndarray]
    labels: np.ndarray
    class_names: Sequence[str]
    patient_ids: np.ndarray
    record_ids: np.ndarray
    previous_s: np.ndarray | None = None


@runtime_checkable
class Fitting(Protocol):
    """What `trainer=fit` needs of a model."""

    def fit(self, examples: Examples, seed: int) -> list[np.ndarray]:
        """Return the weights of a model fitted to `examples`.

        Args:
          examples: the training beats.
          seed: of all random numbers, below 2^32.
        """
        ...


@runtime_checkable
class EstimatorBuilder(ModelBuilder, Fitting, Protocol):
    """The settings of a model that is fitted in one step.

    Its weights are arrays, as those of a network, so that checkpoints, selection, saving and
    prediction treat both alike. They are data: `check_weights` lets no file make `probabilities`
    read beyond its arrays or run forever.
    """

    weight_names: ClassVar[tuple[str, ...]]
    """Names of the weights, in order."""

    def check_names(self, class_names: Sequence[str], feature_names: frozenset[str]) -> None:
        """Check the settings that name classes, or need certain features.

        Args:
          class_names: of the grouping.
          feature_names: of the run.

        Raises:
          ConfigError: a setting names another class, or a feature that it needs is missing.
        """

    def check_weights(
        self,
        weights: Sequence[np.ndarray],
        feature_shapes: Mapping[str, Shape],
        num_classes: int,
    ) -> None:
        """Check weights that were read from a file.

        Args:
          weights: in the order of `weight_names`.
          feature_shapes: shape of one row of each feature.
          num_classes: columns of the probabilities.

        Raises:
          DataError: they are not those of such a model.
        """

    def probabilities(
        self, weights: Sequence[np.ndarray], features: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """Return class probabilities.

        Args:
          weights: that `fit` returned or `check_weights` accepted.
          features: name -> (num_beats, ...) array.

        Returns:
          (num_beats, num_classes) float64, rows summing to 1.
        """
        ...

    def size(self, weights: Sequence[np.ndarray]) -> str:
        """Return how large a fitted model is, in words, e.g. `100 trees with 9 012 nodes`."""
        ...


@runtime_checkable
class Deciding(Protocol):
    """A classical model some of whose settings change its decision only, and not its fit."""

    def undecided(self) -> ModelBuilder:
        """Return the settings without those of the decision: equal ones have equal fits."""
        ...

    def decided(
        self, weights: Sequence[np.ndarray], class_names: Sequence[str]
    ) -> list[np.ndarray]:
        """Return the weights that `fit` would have returned under these settings.

        Args:
          weights: of a fit with equal `undecided`.
          class_names: in the order of the labels.
        """
        ...


def as_network(model: ModelBuilder) -> NetworkBuilder:
    """Return a model that is no estimator as the other kind, for types."""
    return cast(NetworkBuilder, model)


def is_estimator(model: ModelBuilder) -> TypeGuard[EstimatorBuilder]:
    """Return whether a model is fitted in one step, and not trained by gradients."""
    return isinstance(model, EstimatorBuilder)
