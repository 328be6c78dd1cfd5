"""The data of a run with protocol errors; the counterpart of `ecgexp.experiment.data`."""

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np

from ecgexp.augmentation.base import Augmentation
from ecgexp.data.beats import BeatSet
from ecgexp.data.datasets.base import quality_of
from ecgexp.data.leakage import check_split
from ecgexp.data.preprocessing.settings import OnProgress
from ecgexp.experiment.data import RunData, assemble, load_beats
from ecgexp.experiment.quality import chosen
from ecgexp.features.record_beats import transform_beats
from ecgexp.seeding import Seeds

if TYPE_CHECKING:
    from ecgexp.replication.experiment import ReplicationExperiment
    from ecgexp.replication.parts import CopiedBefore

Features = dict[str, np.ndarray]
_CHUNK = 2048


def load_run_data_with_errors(
    experiment: "ReplicationExperiment", seeds: Seeds, on_progress: OnProgress
) -> RunData:
    """Load the data of a run as `ecgexp.experiment.data.load_run_data` does, with errors.

    Under `augment_before_split` a row is a copy of a beat: rows of one record and sample are copies
    of one beat. Only then the check for leakage, which would find them, is omitted.

    Args:
      experiment: a resolved `ecgexp.replication.experiment.ReplicationExperiment`.
      seeds: the random streams of the run.
      on_progress: called with the progress.

    Returns:
      The data of the run.

    Raises:
      ConfigError, DataError: see `ecgexp.experiment.data.load_run_data`.
    """
    errors = experiment.protocol_errors
    beats = load_beats(
        dataset=experiment.dataset,
        grouping=experiment.grouping,
        features=experiment.features,
        on_progress=on_progress,
    )
    beats = experiment.debug.few_before_split(beats, seed=experiment.seed)
    features = transform_beats(experiment.features, beats)
    if errors.shifted_images:
        features = shifted(features)
    if errors.augment_before_split:
        beats, features = with_copies(
            beats, features, cast("CopiedBefore", experiment.augmentation).copies
        )
    parts = experiment.split.split(beats, seeds.generator("split"))
    if not errors.augment_before_split:
        check_split(beats, parts)
    quality = quality_of(experiment.dataset)
    parts, left_out = chosen(quality, beats, parts)
    run_data = assemble(beats, parts, experiment.partition, seeds, features=lambda: features)
    return replace(run_data, quality=quality, left_out=left_out)


def shifted(features: Features) -> Features:
    """Return features shifted by one row: each row has those of the next, the last of the first.

    Args:
      features: name -> (num_beats, ...).
    """
    return {name: np.roll(array, -1, axis=0) for name, array in features.items()}


def with_copies(
    beats: BeatSet, features: Features, augmentation: Augmentation
) -> tuple[BeatSet, Features]:
    """Return one row for each (beat, view) of `augmentation`.

    Args:
      beats: with labels.
      features: name -> (num_beats, ...).
      augmentation: an augmentation whose views are not random.

    Returns:
      beats: (num_pairs,) the beat of each pair; pairs of one beat have its identity and its signal.
      features: name -> (num_pairs, ...), the views.
    """
    from ecgexp.models.resident import ResidentFeatures

    rows, views = augmentation.expand(beats.labels, beats.class_names)
    resident = ResidentFeatures(features, beats.labels)
    augment, seed = augmentation.build(), np.zeros(2, np.int32)
    copied = {
        name: np.empty((len(rows), *array.shape[1:]), array.dtype)
        for name, array in features.items()
    }
    for at in range(0, len(rows), _CHUNK):
        chunk = slice(at, at + _CHUNK)
        shown = augment(resident.gather(rows[chunk]), views[chunk], seed)
        for name, array in copied.items():
            array[chunk] = _stored(np.asarray(shown[name]), array.dtype)
    return beats.take(rows), copied


def _stored(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return images in [0, 1] in the type in which they are stored."""
    return np.rint(array * 255).astype(np.uint8) if dtype == np.uint8 else array
