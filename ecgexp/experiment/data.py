"""The data of a run: loaded, split, assigned to clients and transformed to features."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ecgexp.data.beats import NO_INTERVAL, RR_FEATURES, BeatSet
from ecgexp.data.datasets.base import Dataset, quality_of
from ecgexp.data.foreign_parts import check_assigned, check_divided, check_loaded, read_only
from ecgexp.data.grouping import LabelGrouping
from ecgexp.data.identity import check_beats_once
from ecgexp.data.leakage import check_split
from ecgexp.data.overlap import overlap_of
from ecgexp.data.partition.base import ClientPartition, Partition, check_partition
from ecgexp.data.preprocessing.settings import OnProgress, Quality
from ecgexp.data.splits.base import Split, Splitter
from ecgexp.experiment.part_checks import check_patients_known
from ecgexp.experiment.quality import chosen
from ecgexp.features.checks import check_rows_apart
from ecgexp.features.foreign import transform_checked
from ecgexp.features.inputs import Features
from ecgexp.features.record_beats import with_record_values
from ecgexp.privacy.unit_checks import Overlap
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import DataError
from ecgexp.training.base import TrainingData


@dataclass(frozen=True, kw_only=True)
class RunData:
    """The beats of a run, their split, their partition and their features.

    Attributes:
      beats: with labels; every index below is an index into them.
      split: checked for leakage.
      partition: assigns every beat of the split to one client.
      data: what a trainer gets.
      withholds_training: whether no output may depend on training beats except through the privacy
        mechanism.
      quality: what is done with beats in segments without a usable ECG.
      left_out: (num_left_out,) indices of the beats that are left out of `split.train` for it.
      teacher: the teacher of the model, and whom it has seen, in words; None without one.
    """

    beats: BeatSet
    split: Split
    partition: ClientPartition
    data: TrainingData
    withholds_training: bool = False
    quality: Quality = "ignore"
    left_out: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    teacher: tuple[str, str] | None = None

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
        """Split name -> class -> number of beats."""
        return {name: self.beats.class_counts(indices) for name, indices in self.indices.items()}

    @property
    def class_counts(self) -> np.ndarray:
        """(num_classes,) training beats of each class."""
        return np.bincount(self.data.labels[self.data.train], minlength=len(self.data.class_names))

    @property
    def majority_class(self) -> int:
        """The most frequent training class, which the majority-class baseline predicts."""
        return int(self.class_counts.argmax())

    def baseline_class(self, rows: np.ndarray) -> int:
        """Return the class that the majority-class baseline predicts.

        It is the majority class of the training split; where that is withheld, that of `rows`.

        Args:
          rows: (num_beats,) indices of the beats that are evaluated.
        """
        if not self.withholds_training or not len(rows):
            return self.majority_class
        return int(
            np.bincount(self.data.labels[rows], minlength=len(self.data.class_names)).argmax()
        )


def load_run_data(
    *,
    dataset: Dataset,
    grouping: LabelGrouping,
    split: Splitter,
    partition: Partition,
    features: Features,
    seeds: Seeds,
    on_progress: OnProgress,
    few_of: Callable[[BeatSet, Split], Split] = lambda _, split: split,
    is_private: bool = False,
) -> RunData:
    """Load, group, split, assign and transform the beats.

    Args:
      dataset: settings of the dataset.
      grouping: settings of the grouping.
      split: settings of the split.
      partition: settings of the partition.
      features: settings of the features.
      seeds: the random streams of the run.
      on_progress: called with the progress.
      few_of: returns the part of the split that the run uses, after the check for leakage.
      is_private: whether features of plug-ins are computed one beat at a time.

    Returns:
      The data of the run.

    Raises:
      ConfigError: these beats cannot be assigned to the requested clients, or one of two databases
        is missing.
      DataError: the data are missing or damaged, or the split has leakage.
    """
    beats = load_beats(
        dataset=dataset, grouping=grouping, features=features, on_progress=on_progress
    )
    check_patients_known(beats.knows_patients, split=split, partition=partition)
    check_rows_apart(features, window=beats.signals_mv.shape[1], leads=beats.signals_mv.shape[2])
    beats = read_only(beats)
    parts = split.split(beats, seeds.generator("split"))
    check_divided(split, parts)
    check_split(beats, parts)
    whole = parts
    parts = few_of(beats, whole)
    rows = None
    if parts is not whole:  # the others are never read
        rows = np.concatenate([parts.train, parts.validation, parts.test])
    quality = quality_of(dataset)
    parts, left_out = chosen(quality, beats, parts)
    run_data = assemble(
        beats,
        parts,
        partition,
        seeds,
        features=lambda: transform_checked(features, beats, rows, alone=is_private),
        overlap=overlap_of(
            beats, parts.train, dataset.window_samples[0] if dataset.has_records else 0
        ),
    )
    return replace(run_data, quality=quality, left_out=left_out)


def load_beats(
    *, dataset: Dataset, grouping: LabelGrouping, features: Features, on_progress: OnProgress
) -> BeatSet:
    """Load and group the beats, and drop those without the values that the features need.

    The only beat of a record has no RR interval; it is dropped if the features use RR intervals.

    Args:
      dataset: settings of the dataset.
      grouping: settings of the grouping.
      features: settings of the features.
      on_progress: called with the progress.

    Returns:
      The beats, with the reasons and counts of the dropped ones.

    Raises:
      DataError: the data are missing or damaged, a beat has two rows, or no beat is left.
    """
    beats = dataset.load(on_progress)
    check_loaded(dataset, beats)
    check_beats_once(beats)
    beats = grouping.apply(with_record_values(features, beats))
    if not features.uses_rr:
        return beats
    has_rr = ~np.isnan(beats.rr).any(axis=1)
    if has_rr.all():
        return beats
    if not has_rr.any():
        raise DataError(
            "features: no beat is left, since every beat is the only one of its record "
            "and has no RR "
            "interval; use features=signal, which needs none."
        )
    dropped = {**beats.dropped, NO_INTERVAL: int(np.sum(~has_rr))}
    return replace(beats, dropped=dropped).take(np.flatnonzero(has_rr))


def assemble(
    beats: BeatSet,
    parts: Split,
    partition: Partition,
    seeds: Seeds,
    *,
    features: Callable[[], Mapping[str, np.ndarray]],
    overlap: Overlap | None = None,
) -> RunData:
    """Assign the beats of a split to clients and build the data of the run.

    Args:
      beats: with labels.
      parts: indices into them.
      partition: settings of the partition.
      seeds: the random streams of the run.
      features: returns name -> (num_beats, ...); called after the partition was checked.
      overlap: of the windows of the training rows.

    Returns:
      The data of the run.

    Raises:
      ConfigError: these beats cannot be assigned to the requested clients.
    """
    clients = partition.assign(beats, parts, seeds.generator("partition"))
    check_assigned(partition, clients)
    check_partition(clients, parts)
    data = TrainingData(
        features=features(),
        labels=beats.labels,
        train=parts.train,
        class_names=beats.class_names,
        record_ids=beats.record_ids,
        patient_ids=beats.patient_ids,
        clients=clients.train,
        overlap=overlap,
        previous_s=beats.rr[:, RR_FEATURES.index("rr_previous_s")],
    )
    return RunData(beats=beats, split=parts, partition=clients, data=data)
