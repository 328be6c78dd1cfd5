"""Fitting of a classical model in one step, without gradients and without privacy."""

from collections.abc import Callable, Iterator
from typing import ClassVar

import numpy as np

from ecgexp.augmentation.base import Augmentation
from ecgexp.models.estimator import Examples, Fitting
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.plan import Privacy, PrivacyPlan, Unit
from ecgexp.privacy.unit_checks import Overlap
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import settings
from ecgexp.training.base import EpochResult, OnProgress, TrainerState, TrainingData
from ecgexp.training.loss import LossFn


@settings
class Fit:
    """One call of the `fit` of a classical model, such as `model=extra_trees`.

    A trainer of its own, and not `trainer=centralized`, because none of the settings of that one
    (epochs, batches, optimizer, learning rate) would have an effect.

    Example:
      >>> Fit().num_steps
      1
    """

    step_name: ClassVar[str] = "fit"
    privacy_units: ClassVar[frozenset[Unit]] = frozenset()
    needs_privacy: ClassVar[bool] = False
    needs_clients: ClassVar[bool] = False
    learning_rate_setting: ClassVar[str] = ""

    @property
    def num_steps(self) -> int:
        """One."""
        return 1

    def check_installed(self) -> None:
        """See `Trainer.check_installed`; every installation has what it needs."""

    def check_privacy(self, privacy: Privacy) -> None:
        """See `Trainer.check_privacy`; `privacy_units` is empty, so that none is accepted."""

    def plan(self, privacy: Privacy, data: TrainingData) -> PrivacyPlan:
        """Return a plan without clipping or noise: the run is not private, its ε is infinite."""
        return self.plan_of(privacy, len(data.train))

    def plan_of(
        self, privacy: Privacy, num_units: int, overlap: Overlap | None = None
    ) -> PrivacyPlan:
        """See `Trainer.plan_of`; the units are beats, all of which are in the one step."""
        return privacy.plan(num_units=num_units, expected_batch_size=num_units, epochs=1)

    def train(
        self,
        data: TrainingData,
        *,
        build_model: Callable[[], object],
        loss: LossFn,
        augmentation: Augmentation,
        ledger: Ledger,
        seeds: Seeds,
        on_progress: OnProgress,
        resume_from: TrainerState | None = None,
    ) -> Iterator[EpochResult]:
        """See `Trainer.train`; yields once. `loss` and `augmentation` are not used.

        Raises:
          TypeError: the model is a network.
        """
        if resume_from is not None:
            return
        model = build_model()
        if not isinstance(model, Fitting):
            raise TypeError(f"trainer=fit fits no {type(model).__name__}")
        rows = np.sort(data.train)  # beats of a record in the order of time
        weights = model.fit(
            Examples(
                features={name: array[rows] for name, array in data.features.items()},
                labels=data.labels[rows],
                class_names=data.class_names,
                patient_ids=data.patient_ids[rows],
                record_ids=data.record_ids[rows],
                previous_s=None if data.previous_s is None else data.previous_s[rows],
            ),
            seeds.integer("initial weights"),
        )
        arrays = {f"model/{i}": np.asarray(array) for i, array in enumerate(weights)}
        yield EpochResult(
            step=1,
            weights=lambda: list(weights),
            train_metrics={},
            dp_event=None,
            checkpoint=lambda: TrainerState(arrays=arrays, meta={"epoch": 1}),
        )
