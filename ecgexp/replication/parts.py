"""The parts that replace those of a run if a switch is on."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from typing import Any

import numpy as np

from ecgexp.augmentation.base import Augmentation, AugmentFn, one_view_each
from ecgexp.augmentation.chain import Chain, NoAugmentation
from ecgexp.data.beats import BeatSet
from ecgexp.data.datasets.base import Dataset, ReadRecord
from ecgexp.data.preprocessing.settings import OnProgress, Preprocessing
from ecgexp.privacy.settings import NotPrivate, PrivacySpec
from ecgexp.settings.declaration import Count, Part, settings
from ecgexp.storage.digests import digest
from ecgexp.training.base import EpochResult
from ecgexp.training.centralized import Centralized
from ecgexp.training.dp.trainer import DpSgd
from ecgexp.training.federated.trainer import Federated
from ecgexp.training.optimizer import OptimizerSettings


@settings
class FirstBeats:
    """The first beats of a dataset, in the order of its records.

    Attributes:
      dataset: the whole dataset.
      num_beats: number of beats.
    """

    dataset: Part[Dataset]
    num_beats: Count = 20_000

    @property
    def window_samples(self) -> tuple[int, int]:
        """Samples of a window before and after the beat, of the whole dataset."""
        return self.dataset.window_samples

    @property
    def preprocessings(self) -> tuple[Preprocessing, ...]:
        """See `Dataset`."""
        return self.dataset.preprocessings

    @property
    def knows_patients(self) -> bool:
        """See `Dataset`."""
        return self.dataset.knows_patients

    @property
    def has_records(self) -> bool:
        """See `Dataset`."""
        return self.dataset.has_records

    def check_there(self) -> None:
        """See `Dataset.check_there`."""
        self.dataset.check_there()

    def load(self, on_progress: OnProgress | None = None) -> BeatSet:
        """Load the beats; see `RecordedDataset.load`. They have a digest of their own.

        Args:
          on_progress: called with the progress.
        """
        beats = self.dataset.load(on_progress)
        first = beats.take(np.arange(min(self.num_beats, len(beats))))
        return replace(first, digest=digest({"first": self.num_beats, "of": beats.digest}))

    def open_records(self) -> AbstractContextManager[ReadRecord]:
        """See `Dataset.open_records`."""
        return self.dataset.open_records()


@settings
class CopiedBefore:
    """The random part of an augmentation whose copies were made before the split.

    Attributes:
      copies: makes the copies: the part with several views of a beat.
      rest: the random part, which runs in the training step.
    """

    copies: Part[Augmentation]
    rest: Part[Augmentation]

    num_views = 1

    @classmethod
    def of(cls, augmentation: Augmentation) -> "CopiedBefore":
        """Divide an augmentation into the part with several views and the rest.

        Args:
          augmentation: one with several views.
        """
        steps = augmentation.steps if isinstance(augmentation, Chain) else (augmentation,)
        rest = tuple(step for step in steps if step.num_views == 1)
        return cls(
            copies=next(step for step in steps if step.num_views > 1),
            rest=Chain(steps=rest) if rest else NoAugmentation(),
        )

    @property
    def name(self) -> str:
        """The names of both parts."""
        return f"{self.copies.name} before the split+{self.rest.name}"

    @property
    def features(self) -> frozenset[str]:
        """The features that both parts change."""
        return self.copies.features | self.rest.features

    def expand(
        self, labels: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return every row once, since the copies are rows already.

        Args:
          labels: (num_beats,) of the rows.
          class_names: in the order of the labels.
        """
        return one_view_each(labels)

    def build(self) -> AugmentFn:
        """Return the function of the random part."""
        return self.rest.build()


@settings
class NeverRan(NotPrivate):
    """No privacy, where the replicated implementation intended DP-SGD.

    Attributes:
      intended: the privacy settings that were intended.
    """

    intended: PrivacySpec


@settings
class OneRoundLess(Federated):
    """Federated training whose loop ends one round too early."""

    @classmethod
    def of(cls, trainer: Federated) -> "OneRoundLess":
        """Return this trainer with the settings of `trainer`."""
        return cls(**{item.name: getattr(trainer, item.name) for item in fields(Federated)})

    @property
    def num_steps(self) -> int:
        """One less than the number of rounds in the settings."""
        return self.num_rounds - 1

    def train(self, *args: Any, **kwargs: Any) -> Iterator[EpochResult]:
        """See `Trainer.train`; yields all rounds except the last."""
        yield from itertools.islice(super().train(*args, **kwargs), self.num_steps)


def without_noise(trainer: DpSgd) -> Centralized:
    """Return the trainer that DP-SGD becomes if neither its clip nor its noise runs.

    Args:
      trainer: DP-SGD.

    Returns:
      Its optimizer on shuffled batches.
    """
    kept = {item.name: getattr(trainer, item.name) for item in fields(OptimizerSettings)}
    return Centralized(epochs=trainer.epochs, batch_size=trainer.expected_batch_size, **kept)
