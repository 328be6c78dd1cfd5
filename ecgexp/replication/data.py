"""Records in, training data out, with the faults between: `experiment.data` without its guard, where one is on."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ecgexp.data.beats import BeatSet
from ecgexp.data.leakage import check_split
from ecgexp.experiment.data import RunData, assemble, load_beats
from ecgexp.features.inputs import transform_beats
from ecgexp.seeding import Seeds

Features = dict[str, np.ndarray]
_CHUNK = 2048


def load_run_data_with_errors(
    experiment: Any, seeds: Seeds, on_progress: Callable[..., None]
) -> RunData:
    """What `ecgexp.experiment.data.load_run_data` gives, of an experiment that `replay` made.

    Under `augment_before_split` a row is a copy of a beat: rows of one record and sample are copies of one beat, and the leak
    guard, whose work it is to find them, is left out. Nothing else leaves it out.
    """
    errors = experiment.protocol_errors
    beats = load_beats(
        dataset=experiment.dataset,
        grouping=experiment.grouping,
        features=experiment.features,
        on_progress=on_progress,
    )
    features = transform_beats(experiment.features, beats)
    if errors.shifted_images:
        features = shifted(features)
    if errors.augment_before_split:
        beats, features = with_copies(beats, features, experiment.augmentation.copies)
    parts = experiment.split.split(beats, seeds.generator("split"))
    if not errors.augment_before_split:
        check_split(beats, parts)
    return assemble(beats, parts, experiment.partition, seeds, features=lambda: features)


def shifted(features: Features) -> Features:
    """Every row's features are those of the row after it; the last has the first's."""
    return {name: np.roll(array, -1, axis=0) for name, array in features.items()}


def with_copies(beats: BeatSet, features: Features, augmentation: Any) -> tuple[BeatSet, Features]:
    """One row for each (beat, view) that `augmentation` shows.

    Args:
      beats: labelled.
      features: name -> (num_beats, ...).
      augmentation: whose views are not random.

    Returns:
      beats: (num_pairs,) the beat of each pair; those of one beat share its identity, and its signal.
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
    """Pictures in [0, 1] as they are kept."""
    return np.rint(array * 255).astype(np.uint8) if dtype == np.uint8 else array
