"""Matching of the beats of two models' predictions, independent of their order."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ecgexp.settings.declaration import DataError

_SAME = 0.8
"""Share of the beats of two records at equal samples from which they are the same record."""

_FEWEST = 3
"""Beats that a record must have to be recognized by them."""


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

    Records may have other names in B, and patients too, as those of own recordings do if one run
    has pseudonyms: a record that only A has and one that only B has are the same if their beats are
    at the same samples (see `_renamed`). Patients are the same if they have the same beats.

    Args:
      a: Predictions of A.
      b: Predictions of B, in any order.

    Returns:
      The common beats.

    Raises:
      DataError: The classes differ, a beat occurs twice, no beat is common, a common beat has
        different true classes in A and B, or the beats of one patient are those of several in the
        other.
    """
    if set(a.class_names) != set(b.class_names):
        raise DataError(
            f"A has the classes {', '.join(a.class_names)}, and B has {', '.join(b.class_names)}; "
            "compare models of the same grouping"
        )
    keys_a, keys_b = _keys(a, replace(b, records=_renamed(a, b)))
    for name, predictions, keys in (("A", a, keys_a), ("B", b, keys_b)):
        _check_once(name, predictions, keys)
    common, rows_a, rows_b = np.intersect1d(keys_a, keys_b, assume_unique=True, return_indices=True)
    if not len(common):
        raise DataError(
            f"A has {len(keys_a)} beats and B has {len(keys_b)} other ones, so that none is "
            "common; compare predictions of the same split, made with the same seed"
        )
    _check_same("true class", a, a.classes[rows_a], b.classes[rows_b], rows_a)
    patients = _named_alike(a.patients[rows_a], b.patients[rows_b])
    _check_same("patient", a, a.patients[rows_a], patients, rows_a)
    return Pairs(
        labels=_indices(a.classes[rows_a], a.class_names),
        predicted_a=_indices(a.predicted[rows_a], a.class_names),
        predicted_b=_indices(b.predicted[rows_b], a.class_names),
        patients=a.patients[rows_a],
        class_names=a.class_names,
        only_a=len(keys_a) - len(common),
        only_b=len(keys_b) - len(common),
    )


def _renamed(a: Predictions, b: Predictions) -> np.ndarray:
    """Return the records of B's beats, (num_beats,) str, with A's names for those renamed.

    A record that only A has and one that only B has are taken for the same one if both have
    `_FEWEST` beats or more, `_SAME` of the beats of each are at samples of the other, and this
    holds for no other record. Two recordings do not agree in so many samples by chance.
    """
    own, others = (_samples_of(one) for one in (a, b))
    only_a = {name: found for name, found in own.items() if name not in others}
    only_b = {name: found for name, found in others.items() if name not in own}
    holders: dict[int, list[str]] = {}
    for name, samples in only_a.items():
        for sample in samples:
            holders.setdefault(sample, []).append(name)
    found: dict[str, list[str]] = {}
    for name, samples in only_b.items():
        shared = Counter(holder for sample in samples for holder in holders.get(sample, ()))
        for holder, number in shared.items():
            if number >= max(_FEWEST, _SAME * len(samples), _SAME * len(only_a[holder])):
                found.setdefault(name, []).append(holder)
    taken = Counter(holder for holders in found.values() for holder in holders)
    names = {
        name: holders[0]
        for name, holders in found.items()
        if len(holders) == 1 and taken[holders[0]] == 1
    }
    return np.asarray([names.get(name, name) for name in b.records.tolist()], np.str_)


def _samples_of(predictions: Predictions) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for record, sample in zip(
        predictions.records.tolist(), predictions.samples.tolist(), strict=True
    ):
        found.setdefault(record, set()).add(sample)
    return found


def _named_alike(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return `theirs`, (num_beats,) str, with the names in `ours` of patients of the same beats."""
    name_of = dict(zip(theirs.tolist(), ours.tolist(), strict=True))
    is_one_to_one = len(set(name_of.values())) == len(name_of)
    alike = np.asarray([name_of[name] for name in theirs.tolist()], np.str_)
    return alike if is_one_to_one and (alike == ours).all() else theirs


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
