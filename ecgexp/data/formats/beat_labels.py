"""The labels of beats that are cut already: texts, integers or one-hot columns -> names."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecgexp.data.formats.beat_file import refused

_MOST_CLASSES = 1000
_LONGEST = 64
_SHOWN = 8


def named_labels(
    path: Path,
    labels: np.ndarray | None,
    classes: Sequence[str] | None,
    *,
    default: Sequence[str] | None = None,
) -> np.ndarray:
    """Return the name of each label, which the grouping takes as the symbol of the beat.

    Args:
      path: The file, for messages.
      labels: (num_beats,) texts, or whole numbers of any type or text; or (num_beats, classes)
        one-hot.
      classes: Names of the numbers 0, 1, …; for texts, those that may occur. None: unknown.
      default: `classes` if they are None and the numbers that occur are all of these.

    Returns:
      (num_beats,) str.

    Raises:
      DataError: A label has no name, is missing, or is no whole number.
    """
    if labels is None:
        raise refused(path, "has no labels", "use dataset.labels= with their column, array or file")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    numbers = _one_hot(path, labels) if labels.ndim == 2 else _numbers(path, labels)
    if numbers is None:
        texts = np.asarray([str(label).strip() for label in labels.tolist()], np.str_)
        _check_texts(path, texts, classes)
        return texts
    present = np.unique(numbers).tolist()
    if classes is None and default is not None and present == list(range(len(default))):
        classes = default
    if classes is None:
        some = ",".join(f"name{number}" for number in range(min(max(present), 4) + 1))
        raise refused(
            path,
            f"has the labels {_listed(present)}, whose meaning it does not state",
            f"use dataset.classes=[{some}] with the name of each from 0 on: symbols such as N and "
            "V for grouping=aami5, or any names with grouping=labels",
        )
    if strange := [number for number in present if not 0 <= number < len(classes)]:
        raise refused(
            path,
            f"has the label {strange[0]}, and dataset.classes=[{','.join(classes)}] names 0 to "
            f"{len(classes) - 1}",
            "use a name for every label",
        )
    return np.asarray(classes, np.str_)[numbers]


def _one_hot(path: Path, labels: np.ndarray) -> np.ndarray:
    values = labels.astype(np.float64) if labels.dtype.kind in "fiub" else np.full((1, 1), 2.0)
    if not (np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all()):
        raise refused(
            path,
            f"has labels of the shape {labels.shape} that are not one-hot",
            "use exactly one 1 in each row, or one label for each beat",
        )
    return values.argmax(axis=1)


def _numbers(path: Path, labels: np.ndarray) -> np.ndarray | None:
    """Return whole numbers as int64; None if the labels are texts."""
    if labels.dtype.kind in "iub":
        return labels.astype(np.int64)
    if labels.dtype.kind != "f":
        texts = np.unique(labels.astype(np.str_)).tolist()
        if not all(map(_is_number, texts)):
            return None
        labels = labels.astype(np.float64)
    whole = np.isfinite(labels) & (labels == np.rint(labels)) & (np.abs(labels) < _MOST_CLASSES)
    if not whole.all():
        row = int(np.flatnonzero(~whole)[0])
        raise refused(
            path,
            f"has the label {labels[row]:g} in row {row} (counted from 0), which is no class",
            "use whole numbers, names or symbols as labels, and dataset.labels= with their column",
        )
    return labels.astype(np.int64)


def _check_texts(path: Path, texts: np.ndarray, classes: Sequence[str] | None) -> None:
    present = np.unique(texts).tolist()
    bad = [text for text in present if not text or not text.isprintable() or len(text) > _LONGEST]
    if bad or len(present) > _MOST_CLASSES:
        raise refused(
            path,
            f"has {len(present)} labels, some of them empty, long or unprintable"
            if bad
            else f"has {len(present)} different labels",
            "use dataset.labels= with the column, array or file of the classes",
        )
    if classes is not None and (strange := [text for text in present if text not in classes]):
        raise refused(
            path,
            f"has the label {strange[0]!r}, and dataset.classes=[{','.join(classes)}]",
            "use dataset.classes= with every label, or dataset.classes=null",
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _listed(present: Sequence[int]) -> str:
    shown = ", ".join(map(str, present[:_SHOWN]))
    return f"{shown}, …" if len(present) > _SHOWN else shown
