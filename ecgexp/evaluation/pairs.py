"""Two models on the same beats: which beats those are, whatever the order in which each model was asked."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ecgexp.settings.declaration import DataError


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What one model said of the beats of one split.

    Attributes:
      records: (n,) str; with `samples` the identity of each beat.
      samples: (n,) int, the annotated sample.
      patients: (n,) str, the patient of each beat.
      classes: (n,) str, the true class.
      predicted: (n,) str, the predicted class.
      class_names: the classes, in the order of the model's outputs.
      probabilities: (n, classes) of each class; (0, 0) where only the decisions are compared.
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
    """The beats that both models were asked about, sorted by record and sample.

    Attributes:
      labels: (n,) int, the true class; an index of `class_names`.
      predicted_a: (n,) int, what A said.
      predicted_b: (n,) int, what B said.
      patients: (n,) str, the patient of each beat.
      class_names: the classes, in A's order.
      only_a: beats that A alone was asked about; they are left out.
      only_b: beats that B alone was asked about.
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
        """(n,) bool: whether A got each beat right."""
        return self.predicted_a == self.labels

    @property
    def right_b(self) -> np.ndarray:
        """(n,) bool: whether B did."""
        return self.predicted_b == self.labels

    @property
    def num_patients(self) -> int:
        """How many patients the beats are of."""
        return len(np.unique(self.patients))


def match(a: Predictions, b: Predictions) -> Pairs:
    """Pairs the beats of two models by record and sample, whatever their order.

    Raises:
      DataError: the classes differ, a beat stands twice, no beat is common, or a common beat has another true class or
        another patient in B than in A.
    """
    if set(a.class_names) != set(b.class_names):
        raise DataError(
            f"A tells the classes {', '.join(a.class_names)} apart, and B {', '.join(b.class_names)}"
        )
    keys_a, keys_b = _keys(a, b)
    for name, predictions, keys in (("A", a, keys_a), ("B", b, keys_b)):
        _check_once(name, predictions, keys)
    common, rows_a, rows_b = np.intersect1d(keys_a, keys_b, assume_unique=True, return_indices=True)
    if not len(common):
        raise DataError(
            f"A and B have no beat in common: {len(keys_a)} beats of A, {len(keys_b)} other ones of B"
        )
    _check_same("true class", a, a.classes[rows_a], b.classes[rows_b], rows_a)
    _check_same("patient", a, a.patients[rows_a], b.patients[rows_b], rows_a)
    return Pairs(
        labels=_indices(a.classes[rows_a], a.class_names), predicted_a=_indices(a.predicted[rows_a], a.class_names),
        predicted_b=_indices(b.predicted[rows_b], a.class_names), patients=a.patients[rows_a], class_names=a.class_names,
        only_a=len(keys_a) - len(common), only_b=len(keys_b) - len(common),
    )  # fmt: skip


def _keys(a: Predictions, b: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """One integer for each beat, in the order of records and samples."""
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
            f"{_beat(predictions, row)} stands {counts[counts > 1][0]} times among the predictions of {name}"
        )


def _check_same(
    what: str, a: Predictions, ours: np.ndarray, theirs: np.ndarray, rows: np.ndarray
) -> None:
    other = np.flatnonzero(ours != theirs)
    if len(other):
        i = other[0]
        raise DataError(
            f"{len(other)} of {len(rows)} common beats have another {what} in B than in A (the first: {_beat(a, rows[i])}, "
            f"{ours[i]} in A and {theirs[i]} in B)"
        )


def _beat(predictions: Predictions, row: int) -> str:
    return f"the beat at sample {predictions.samples[row]} of record {predictions.records[row]}"


def _indices(names: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """(n,) int64; every name is one of `class_names`.

    Raises:
      DataError: one is not.
    """
    order = np.argsort(class_names)
    known = np.asarray(class_names)[order]
    places = np.searchsorted(known, names).clip(max=len(known) - 1)
    if (strange := np.flatnonzero(known[places] != names)).size:
        raise DataError(f"{names[strange[0]]} is not among the classes {', '.join(class_names)}")
    return order[places]
