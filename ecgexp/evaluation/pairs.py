"""Matching of the beats of two models' predictions, independent of their order."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ecgexp.settings.declaration import DataError


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Predictions of one model for the beats of one split.

    Attributes:
      records: (num_beats,) str, the record of each beat; with `samples` its identity.
      samples: (num_beats,) int, the annotated sample.
      patients: (num_beats,) str, the patient of each beat.
      classes: (num_beats,) str, the true class.
      predicted: (num_beats,) str, the predicted class.
      class_names: The classes, in the order of the model's outputs.
      probabilities: (num_beats, num_classes) float64; (0, 0) if only predicted classes are
        compared.
    """

    records: np.ndarray
    samples: np.ndarray
    patients: np.ndarray
    classes: np.ndarray
    predicted: np.ndarray
    class_names: tuple[str, ...]
    probabilities: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """The common beats of two models' predictions, sorted by record and sample.

    Attributes:
      labels: (num_beats,) int64, the true class, an index of `class_names`.
      predicted_a: (num_beats,) int64, the class predicted by A.
      predicted_b: (num_beats,) int64, the class predicted by B.
      patients: (num_beats,) str, the patient of each beat.
      class_names: The classes, in the order of A.
      only_a: Number of beats with a prediction of A only, which are left out.
      only_b: Number of beats with a prediction of B only, which are left out.
    """

    labels: np.ndarray
    predicted_a: np.ndarray
    predicted_b: np.ndarray
    patients: np.ndarray
    class_names: tuple[str, ...]
    only_a: int = 0
    only_b: int = 0

    @property
    def right_a(self) -> np.ndarray:
        """(num_beats,) bool: True for beats that A predicts correctly."""
        return self.predicted_a == self.labels

    @property
    def right_b(self) -> np.ndarray:
        """(num_beats,) bool: True for beats that B predicts correctly."""
        return self.predicted_b == self.labels

    @property
    def knows_patients(self) -> bool:
        """Whether the patients of the beats are known; unknown ones have no name."""
        return bool((self.patients != "").all())

    @property
    def num_patients(self) -> int:
        """Number of patients of the beats; 0 if they are unknown."""
        return len(np.unique(self.patients)) if self.knows_patients else 0


def match(a: Predictions, b: Predictions) -> Pairs:
    """Match the beats of two models by record and sample.

    Args:
      a: Predictions of A.
      b: Predictions of B, in any order.

    Returns:
      The common beats.

    Raises:
      DataError: The classes differ, a beat occurs twice, no beat is common, or a common beat has
        different true classes or patients in A and B.
    """
    if set(a.class_names) != set(b.class_names):
        raise DataError(
            f"A has the classes {', '.join(a.class_names)}, and B has {', '.join(b.class_names)}; "
            "compare models of the same grouping"
        )
    keys_a, keys_b = _keys(a, b)
    for name, predictions, keys in (("A", a, keys_a), ("B", b, keys_b)):
        _check_once(name, predictions, keys)
    common, rows_a, rows_b = np.intersect1d(keys_a, keys_b, assume_unique=True, return_indices=True)
    if not len(common):
        raise DataError(
            f"A has {len(keys_a)} beats and B has {len(keys_b)} other ones, so that none is "
            "common; compare predictions of the same split, of own recordings with equal "
            "dataset.pseudonyms and the same key"
        )
    _check_same("true class", a, a.classes[rows_a], b.classes[rows_b], rows_a)
    _check_same("patient", a, a.patients[rows_a], b.patients[rows_b], rows_a)
    return Pairs(
        labels=_indices(a.classes[rows_a], a.class_names),
        predicted_a=_indices(a.predicted[rows_a], a.class_names),
        predicted_b=_indices(b.predicted[rows_b], a.class_names),
        patients=a.patients[rows_a],
        class_names=a.class_names,
        only_a=len(keys_a) - len(common),
        only_b=len(keys_b) - len(common),
    )


def _keys(a: Predictions, b: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Return (num_beats,) int64 keys of the beats of both, in the order of records and samples."""
    names, records = np.unique(np.concatenate([a.records, b.records]), return_inverse=True)
    samples = np.concatenate([a.samples, b.samples]).astype(np.int64)
    samples = samples - (samples.min() if len(samples) else 0)
    keys = records.astype(np.int64) * (samples.max(initial=0) + 1) + samples
    return keys[: len(a.records)], keys[len(a.records) :]


def _check_once(name: str, predictions: Predictions, keys: np.ndarray) -> None:
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    if (counts > 1).any():
        row = first[counts > 1][0]
        raise DataError(
            f"{_beat(predictions, row)} occurs {counts[counts > 1][0]} times in the predictions of "
            f"{name}"
        )


def _check_same(
    what: str, a: Predictions, ours: np.ndarray, theirs: np.ndarray, rows: np.ndarray
) -> None:
    other = np.flatnonzero(ours != theirs)
    if len(other):
        i = other[0]
        raise DataError(
            f"{len(other)} of {len(rows)} common beats have another {what} in B than in A (the "
            f"first: {_beat(a, rows[i])}, {ours[i]} in A and {theirs[i]} in B)"
        )


def _beat(predictions: Predictions, row: int) -> str:
    return f"the beat at sample {predictions.samples[row]} of record {predictions.records[row]}"


def _indices(names: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """Return the indices of `names` in `class_names`, (num_beats,) int64.

    Raises:
      DataError: A name is not in `class_names`.
    """
    order = np.argsort(class_names)
    known = np.asarray(class_names)[order]
    places = np.searchsorted(known, names).clip(max=len(known) - 1)
    if (strange := np.flatnonzero(known[places] != names)).size:
        raise DataError(f"{names[strange[0]]} is not among the classes {', '.join(class_names)}")
    return order[places]
