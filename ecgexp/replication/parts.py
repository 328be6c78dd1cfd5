"""The parts that a switch puts in the place of a sound one."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from ecgexp.augmentation.base import Augmentation, AugmentFn, one_view_each
from ecgexp.augmentation.chain import Chain
from ecgexp.augmentation.none import NoAugmentation
from ecgexp.data.beats import BeatSet
from ecgexp.privacy.plan import NotPrivate, PrivacySpec
from ecgexp.settings.declaration import Count, settings
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
      dataset: the whole one.
      num_beats: how many.
    """

    dataset: Any
    num_beats: Count = 20_000

    @property
    def window_samples(self) -> tuple[int, int]:
        """Of the whole dataset."""
        return self.dataset.window_samples

    def load(self, on_progress: Any = None) -> BeatSet:
        """See `RecordedDataset.load`; the digest is one of its own."""
        beats = self.dataset.load(on_progress)
        first = beats.take(np.arange(min(self.num_beats, len(beats))))
        return replace(first, digest=digest({"first": self.num_beats, "of": beats.digest}))


@settings
class CopiedBefore:
    """What is left of an augmentation for the training when its copies were made before the split.

    Attributes:
      copies: makes the copies: the part that shows several views of a beat.
      rest: is random, and stays in the training step.
    """

    copies: Any
    rest: Any

    num_views = 1

    @classmethod
    def of(cls, augmentation: Augmentation) -> "CopiedBefore":
        """Takes an augmentation that shows several views apart."""
        steps = augmentation.steps if isinstance(augmentation, Chain) else (augmentation,)
        rest = tuple(step for step in steps if step.num_views == 1)
        return cls(
            copies=next(step for step in steps if step.num_views > 1),
            rest=Chain(steps=rest) if rest else NoAugmentation(),
        )

    @property
    def name(self) -> str:
        """Of both parts."""
        return f"{self.copies.name} before the split+{self.rest.name}"

    @property
    def features(self) -> frozenset[str]:
        """Of both parts."""
        return self.copies.features | self.rest.features

    def expand(
        self, labels: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Every row once: the copies are rows already."""
        return one_view_each(labels)

    def build(self) -> AugmentFn:
        """Of the random part."""
        return self.rest.build()


@settings
class NeverRan(NotPrivate):
    """No promise, where one was believed to be kept.

    Attributes:
      intended: the promise.
    """

    intended: PrivacySpec


@settings
class OneRoundLess(Federated):
    """Federated training whose loop ends a round too early."""

    @classmethod
    def of(cls, trainer: Federated) -> "OneRoundLess":
        """The same settings."""
        return cls(**{item.name: getattr(trainer, item.name) for item in fields(Federated)})

    @property
    def num_steps(self) -> int:
        """One below the rounds that were asked for."""
        return self.num_rounds - 1

    def train(self, *args: Any, **kwargs: Any) -> Iterator[EpochResult]:
        """All rounds but the last."""
        yield from itertools.islice(super().train(*args, **kwargs), self.num_steps)


def without_noise(trainer: DpSgd) -> Centralized:
    """What `trainer` comes to when neither its clip nor its noise runs: its optimizer on shuffled batches."""
    kept = {item.name: getattr(trainer, item.name) for item in fields(OptimizerSettings)}
    return Centralized(epochs=trainer.epochs, batch_size=trainer.expected_batch_size, **kept)
