"""Records in, training data out: the part of a run before anything is learned."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ecgexp.data.beats import NO_INTERVAL, BeatSet
from ecgexp.data.identity import check_beats_once
from ecgexp.data.leakage import check_split
from ecgexp.data.overlap import overlap_of
from ecgexp.data.partition.base import ClientPartition, check_partition
from ecgexp.data.splits import Split
from ecgexp.features.inputs import transform_beats
from ecgexp.privacy.overlap import Overlap
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import DataError
from ecgexp.training.base import TrainingData


@dataclass(frozen=True, kw_only=True)
class RunData:
    """The beats of a run, who is trained on and tested, which client holds what, and what the model sees of them.

    Attributes:
      beats: labelled; every index below is one into them.
      split: checked for leaks.
      partition: every beat of the split to one client.
      data: what a trainer gets.
      withholds_training: whether nothing may be published that tells of training beats, as under a privacy guarantee.
    """

    beats: BeatSet
    split: Split
    partition: ClientPartition
    data: TrainingData
    withholds_training: bool = False

    @property
    def indices(self) -> dict[str, np.ndarray]:
        """Split name -> indices."""
        return {
            "train": self.split.train,
            "validation": self.split.validation,
            "test": self.split.test,
        }

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Split name -> class -> beats."""
        return {name: self.beats.class_counts(indices) for name, indices in self.indices.items()}

    @property
    def class_counts(self) -> np.ndarray:
        """(num_classes,) beats of each class in the training split."""
        return np.bincount(self.data.labels[self.data.train], minlength=len(self.data.class_names))

    @property
    def majority_class(self) -> int:
        """The commonest class of the training split: what a model that learned nothing would answer."""
        return int(self.class_counts.argmax())

    def baseline_class(self, rows: np.ndarray) -> int:
        """The class that the baseline always answers: the majority class; where that is withheld, the commonest of `rows`.

        Args:
          rows: (num_beats,) indices of the beats that are scored.
        """
        if not self.withholds_training or not len(rows):
            return self.majority_class
        return int(
            np.bincount(self.data.labels[rows], minlength=len(self.data.class_names)).argmax()
        )


def load_run_data(
    *,
    dataset: Any,
    grouping: Any,
    split: Any,
    partition: Any,
    features: Any,
    seeds: Seeds,
    on_progress: Callable[..., None],
) -> RunData:
    """Loads, groups, splits, deals to clients and transforms the beats.

    Raises:
      ConfigError: these beats cannot be dealt to the clients that were asked for; one of two databases is not there.
      DataError: the data cannot be trusted or found, or the split leaks.
    """
    beats = load_beats(
        dataset=dataset, grouping=grouping, features=features, on_progress=on_progress
    )
    parts = split.split(beats, seeds.generator("split"))
    check_split(beats, parts)
    return assemble(
        beats,
        parts,
        partition,
        seeds,
        features=lambda: transform_beats(features, beats),
        overlap=overlap_of(beats, parts.train, dataset.window_samples[0]),
    )


def load_beats(
    *, dataset: Any, grouping: Any, features: Any, on_progress: Callable[..., None]
) -> BeatSet:
    """Loads and groups the beats, and drops those that lack what the input needs, with the reason.

    A record's only beat has no RR interval; it is dropped where the input takes RR features, and nowhere else.

    Raises:
      DataError: the data cannot be trusted or found, a beat has two rows, or none is left.
    """
    beats = dataset.load(on_progress)
    check_beats_once(beats)
    beats = grouping.apply(beats)
    if not features.uses_rr:
        return beats
    has_rr = ~np.isnan(beats.rr).any(axis=1)
    if has_rr.all():
        return beats
    if not has_rr.any():
        raise DataError(
            f"no beat is left: {NO_INTERVAL} in any record; use features=signal, which takes no RR features"
        )
    dropped = {**beats.dropped, NO_INTERVAL: int(np.sum(~has_rr))}
    return replace(beats, dropped=dropped).take(np.flatnonzero(has_rr))


def assemble(
    beats: BeatSet,
    parts: Split,
    partition: Any,
    seeds: Seeds,
    *,
    features: Callable[[], Mapping[str, np.ndarray]],
    overlap: Overlap | None = None,
) -> RunData:
    """Deals split beats to clients and puts together what a trainer gets.

    Args:
      beats: labelled.
      parts: indices into them.
      partition: which client holds what.
      seeds: of the run.
      features: name -> (num_beats, ...), made once the clients are known to be possible.
      overlap: of the windows of the training rows.

    Raises:
      ConfigError: these beats cannot be dealt to the clients that were asked for.
    """
    partition = partition.assign(beats, parts, seeds.generator("partition"))
    check_partition(partition, parts)
    data = TrainingData(
        features=features(),
        labels=beats.labels,
        train=parts.train,
        class_names=beats.class_names,
        record_ids=beats.record_ids,
        patient_ids=beats.patient_ids,
        clients=partition.train,
        overlap=overlap,
    )
    return RunData(beats=beats, split=parts, partition=partition, data=data)
