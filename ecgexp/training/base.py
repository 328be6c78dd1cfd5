"""The trainer protocol: a generator that takes beats and yields an `EpochResult` per step.

Also what a trainer takes and yields: beats, results, and its state as arrays.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from ecgexp.augmentation.base import Augmentation
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.plan import Privacy, PrivacyPlan, Unit
from ecgexp.privacy.unit_checks import Overlap
from ecgexp.seeding import Seeds
from ecgexp.training.loss import LossFn, with_teacher

if TYPE_CHECKING:
    import tensorflow as tf
    from dp_accounting import DpEvent

    from ecgexp.models.resident import ResidentFeatures

Weights = list[np.ndarray]


@dataclass(frozen=True, kw_only=True)
class TrainerState:
    """Everything that a resumed run needs to continue with the same bits.

    Attributes:
      arrays: name -> array: weights, optimizer slots, sampler position.
      meta: everything else, as JSON-serializable values.
    """

    arrays: Mapping[str, np.ndarray]
    meta: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """The result of one finished epoch or round.

    Attributes:
      step: 1-based epoch or round.
      weights: returns the weights; lazy, so that only evaluation and checkpoints copy them.
      train_metrics: metrics of training, e.g. `{"loss": 0.3}`; computed from training data.
      dp_event: the privacy event of this step for one unit of privacy; None without privacy.
      checkpoint: returns the state from which training can be resumed; lazy.
    """

    step: int
    weights: Callable[[], Weights]
    train_metrics: Mapping[str, float]
    dp_event: "DpEvent | None"
    checkpoint: Callable[[], TrainerState]


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The features of all beats, one resident array per feature, and the rows used for training.

    Attributes:
      features: name -> (num_beats, ...) float32; the names are those of the model's inputs.
      labels: (num_beats,) int64.
      train: (num_train,) indices of the training rows; a trainer uses no other row.
      class_names: in the order of the labels.
      record_ids: (num_beats,) str.
      patient_ids: (num_beats,) str.
      clients: client id -> sorted indices of its training rows. Only federated training uses it.
      overlap: in how many training rows one heartbeat appears; None where it was not determined.
      teacher: (num_beats, num_classes) float32, probabilities of the teacher for the training rows,
        NaN for all others; None without a teacher.
      previous_s: (num_beats,) float32, seconds from the beat before; None where nobody knows them.
        Only `trainer=fit` uses it, for records that a model shortens.
    """

    features: Mapping[str, np.ndarray]
    labels: np.ndarray
    train: np.ndarray
    class_names: Sequence[str]
    record_ids: np.ndarray
    patient_ids: np.ndarray
    clients: Mapping[str, np.ndarray] = field(default_factory=dict)
    overlap: Overlap | None = None
    previous_s: np.ndarray | None = None
    teacher: np.ndarray | None = None

    @cached_property
    def loss_labels(self) -> np.ndarray:
        """The labels that the loss takes: (num_beats,) int32, or those of `loss.with_teacher`."""
        if self.teacher is None:
            return self.labels.astype(np.int32)
        return with_teacher(self.labels, self.teacher)

    @cached_property
    def resident(self) -> "ResidentFeatures":
        """The features on the device of the model: one copy, for training and for scoring."""
        from ecgexp.models.resident import ResidentFeatures

        return ResidentFeatures(self.features, self.loss_labels)


class OnProgress(Protocol):
    """Called with the progress within an epoch, for the progress bar and for checkpoints."""

    def __call__(
        self,
        *,
        done: int,
        total: int,
        metrics: Mapping[str, float],
        state: Callable[[], TrainerState] | None = None,
    ) -> None:
        """Report that `done` of `total` steps of the current epoch are finished.

        Args:
          done: finished steps of the epoch.
          total: steps of the epoch.
          metrics: training metrics of the finished part.
          state: returns the state from which training can be resumed after `done` steps; None
            where an epoch cannot be resumed in the middle.
        """


class Trainer(Protocol):
    """Trains a model built by `build_model` and yields after every epoch or round.

    Attributes:
      num_steps: number of epochs or rounds.
      step_name: `epoch` or `round`.
      privacy_units: units of privacy that it supports; empty: it has no privacy guarantee.
      needs_privacy: whether it trains only with differential privacy.
      needs_clients: whether it trains the clients of a partition, or pooled beats.
      learning_rate_setting: the setting that a message about divergence names.
    """

    step_name: ClassVar[str]
    privacy_units: ClassVar[frozenset[Unit]]
    needs_privacy: ClassVar[bool]
    needs_clients: ClassVar[bool]
    learning_rate_setting: ClassVar[str]

    @property
    def num_steps(self) -> int:
        """See the class."""
        ...

    def check_installed(self) -> None:
        """Check, before TensorFlow is imported, that the libraries of the trainer are installed.

        Raises:
          ConfigError: a library is missing; the message says how to install it.
        """

    def check_privacy(self, privacy: Privacy) -> None:
        """Check, before any data are read, that the settings allow the privacy guarantee.

        Args:
          privacy: the privacy settings of the run.

        Raises:
          ConfigError: a setting would break the privacy guarantee.
        """

    def plan(self, privacy: Privacy, data: TrainingData) -> PrivacyPlan:
        """Return the plan of what the run does to one unit of privacy.

        Args:
          privacy: the privacy settings of the run.
          data: the data to train on.

        Returns:
          The plan; without privacy one whose ε is infinite.
        """
        ...

    def plan_of(
        self, privacy: Privacy, num_units: int, overlap: Overlap | None = None
    ) -> PrivacyPlan:
        """Return the plan for a training set of some size, which is all that `plan` uses of one.

        Args:
          privacy: the privacy settings of the run.
          num_units: units of privacy; without privacy, beats or clients.
          overlap: of the windows of the training rows; None: they do not overlap.

        Returns:
          The plan; without privacy one whose ε is infinite.
        """
        ...

    def train(
        self,
        data: TrainingData,
        *,
        build_model: "Callable[[], tf.keras.Model]",
        loss: LossFn,
        augmentation: Augmentation,
        ledger: Ledger,
        seeds: Seeds,
        on_progress: OnProgress,
        resume_from: TrainerState | None = None,
    ) -> Iterator[EpochResult]:
        """Train, and yield one `EpochResult` per epoch or round.

        Ends after `num_steps`, when the privacy budget is spent, or when the caller stops
        iterating.

        Args:
          data: the data to train on.
          build_model: builds the model, with the initial weights of the run, under the current
            `tf.distribute` strategy.
          loss: `(labels (batch,), logits (batch, classes)) -> (batch,)`.
          augmentation: the views of the training rows.
          ledger: the ledger of the run's plan; every noisy step is recorded in it before it runs.
          seeds: the random streams of the run.
          on_progress: called with the progress within the epoch.
          resume_from: the state from an earlier `EpochResult.checkpoint`; training resumes after
            it.

        Yields:
          The result of each epoch or round.
        """
        ...


def to_arrays(model: "tf.keras.Model", optimizer: Any) -> dict[str, np.ndarray]:
    """Return a model and its optimizer as the arrays of a `TrainerState`.

    They are `model/0`, `model/1`, … and `optimizer/0`, …, in the order of Keras.
    """
    arrays = {f"model/{i}": value for i, value in enumerate(model.get_weights())}
    return arrays | {
        f"optimizer/{i}": variable.numpy() for i, variable in enumerate(optimizer.variables)
    }


def assign_arrays(
    model: "tf.keras.Model", optimizer: Any, arrays: Mapping[str, np.ndarray]
) -> None:
    """Assign the arrays that `to_arrays` returned; the optimizer must be built."""
    model.set_weights([arrays[f"model/{i}"] for i in range(len(model.weights))])
    for i, variable in enumerate(optimizer.variables):
        variable.assign(arrays[f"optimizer/{i}"])
