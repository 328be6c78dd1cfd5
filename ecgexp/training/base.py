"""What every trainer is: a generator that gets beats and yields one `EpochResult` per epoch or round."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.overlap import Overlap
from ecgexp.privacy.plan import PrivacyPlan, PrivacySpec, Unit
from ecgexp.seeding import Seeds

if TYPE_CHECKING:
    from ecgexp.models.resident import ResidentFeatures

Weights = list[np.ndarray]


@dataclass(frozen=True, kw_only=True)
class TrainerState:
    """Everything a resumed run needs to go on bit for bit.

    Attributes:
      arrays: name -> array: weights, optimizer slots, sampler position.
      meta: JSON-able rest.
    """

    arrays: Mapping[str, np.ndarray]
    meta: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """One finished epoch or round.

    Attributes:
      step: 1-based epoch or round.
      weights: lazy; only evaluation and checkpoints pay for the copy.
      train_metrics: what the trainer measured on the way, e.g. `{"loss": 0.3}`; computed from training data.
      dp_event: what this step really did to one unit of privacy; None: no promise was made.
      checkpoint: lazy; the state from which training can go on.
    """

    step: int
    weights: Callable[[], Weights]
    train_metrics: Mapping[str, float]
    dp_event: Any | None
    checkpoint: Callable[[], TrainerState]


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """All beats' inputs in one resident array per feature, and which rows are for training.

    Attributes:
      features: name -> (num_beats, ...) float32; the names are those of the model's inputs.
      labels: (num_beats,) int64.
      train: (num_train,) indices of the training rows; a trainer touches no other.
      class_names: in the order of the labels.
      record_ids: (num_beats,) str.
      patient_ids: (num_beats,) str.
      clients: client id -> sorted indices: who holds which of the training rows. Only federated training looks at it.
      overlap: in how many training rows one heartbeat is seen; None where it was not looked into.
    """

    features: Mapping[str, np.ndarray]
    labels: np.ndarray
    train: np.ndarray
    class_names: Sequence[str]
    record_ids: np.ndarray
    patient_ids: np.ndarray
    clients: Mapping[str, np.ndarray] = field(default_factory=dict)
    overlap: Overlap | None = None

    @cached_property
    def resident(self) -> "ResidentFeatures":
        """The features where the model computes: one copy, for training and for scoring alike."""
        from ecgexp.models.resident import ResidentFeatures

        return ResidentFeatures(self.features, self.labels)


class OnProgress(Protocol):
    """Told about progress within an epoch, for the progress bar and for checkpoints of long epochs."""

    def __call__(
        self,
        *,
        done: int,
        total: int,
        metrics: Mapping[str, float],
        state: Callable[[], TrainerState] | None = None,
    ) -> None:
        """`done` of `total` steps of the current epoch are behind us; from `state`, made when asked for, training can go on."""


class Trainer(Protocol):
    """Trains a model built by `build_model` and yields after every epoch or round.

    Attributes:
      num_steps: epochs or rounds.
      step_name: which of the two.
      privacy_units: to whom it can keep a promise; empty: it makes none.
      needs_privacy: whether it trains under a promise only.
      needs_clients: whether it trains clients of a partition, or pooled beats.
    """

    num_steps: int
    step_name: str
    privacy_units: frozenset[Unit]
    needs_privacy: bool
    needs_clients: bool

    def check_privacy(self, privacy: PrivacySpec) -> None:
        """Refuses settings that would break a promise, before any data are read; raises ConfigError."""

    def plan(self, privacy: Any, data: TrainingData) -> PrivacyPlan:
        """What the run will do to one unit of privacy; without privacy, a plan of infinite price."""

    def train(
        self, data: TrainingData, *, build_model: Callable[[], Any], loss: Any, augmentation: Any, ledger: Ledger, seeds: Seeds,
        on_progress: OnProgress, resume_from: TrainerState | None = None,
    ) -> Iterator[EpochResult]:  # fmt: skip
        """Yields one `EpochResult` per epoch or round until `num_steps`, the budget's end, or until the caller stops asking.

        Args:
          data: what to train on.
          build_model: makes the model, with the run's initial weights, under the current `tf.distribute` strategy.
          loss: `(labels (batch,), logits (batch, classes)) -> (batch,)`.
          augmentation: views of the training rows.
          ledger: of the run's plan; every noisy step is charged to it before it runs.
          seeds: the run's random streams.
          on_progress: told about progress within the epoch.
          resume_from: what an earlier `EpochResult.checkpoint` gave; training goes on after it.
        """
