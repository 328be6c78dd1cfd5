"""Beats in segments without a usable ECG: counted, left out of training, and scored apart.

No beat leaves the validation or the test set because of its mark.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgexp.data.beats import BeatSet
from ecgexp.data.preprocessing.settings import Quality
from ecgexp.data.quality.marks import MARKS
from ecgexp.data.splits.base import Split
from ecgexp.evaluation.evaluator import Evaluation
from ecgexp.evaluation.metrics import score
from ecgexp.formatting import count_text, score_text
from ecgexp.settings.declaration import DataError
from ecgexp.settings.installation import to_type

if TYPE_CHECKING:
    import pandas as pd

    from ecgexp.experiment.data import RunData

_SHOWN = (("macro F1", "macro_f1"), ("accuracy", "accuracy"))


def without_marked(beats: BeatSet, parts: Split) -> tuple[Split, np.ndarray]:
    """Leave the marked beats out of the training set, for `dataset.quality=drop`.

    **Guarantees**: validation and test set stay as they are
    (`tests/unit/experiment/test_quality.py`). Which beats of a record are left out depends on that
    record alone, so that a guarantee for a record or a patient holds for what is left.

    Args:
      beats: all beats.
      parts: indices into them.

    Returns:
      parts: without the marked training beats.
      left_out: (num_left_out,) int64, their indices.

    Raises:
      DataError: every training beat is marked.
    """
    is_marked = beats.is_marked[parts.train]
    if len(is_marked) and is_marked.all():
        raise DataError(
            "dataset.quality=drop: no training beat is in a segment with a usable ECG; use "
            "dataset.quality=mark, or correct the gain and the leads of the records, which "
            f"{to_type('ecgexp-inspect')} shows."
        )
    return replace(parts, train=parts.train[~is_marked]), parts.train[is_marked]


def chosen(quality: Quality, beats: BeatSet, parts: Split) -> tuple[Split, np.ndarray]:
    """Return what `dataset.quality` leaves of a split; see `without_marked`.

    Args:
      quality: its value.
      beats: all beats.
      parts: indices into them.
    """
    if quality == "drop":
        return without_marked(beats, parts)
    return parts, np.zeros(0, np.int64)


def reasons_of(beats: BeatSet, rows: np.ndarray) -> dict[str, int]:
    """Return mark -> number of beats among `rows` that have it, without zeros."""
    if not len(beats.quality):
        return {}
    numbers = np.bincount(beats.quality[rows], minlength=len(MARKS)).tolist()
    pairs = zip(MARKS[1:], numbers[1:], strict=True)
    return {mark: number for mark, number in pairs if number}


def may_be_published(run_data: "RunData", split: str) -> bool:
    """Return whether marks of held-out beats may be published.

    A mark depends on 10 s of signal. Where a guarantee protects single beats, and a record has
    training beats and held-out ones, marks of the latter depend on the signal of the former.

    Args:
      run_data: the data of the run.
      split: `validation` or `test`.
    """
    if not run_data.withholds_training:
        return True
    records = run_data.beats.record_ids
    return not np.isin(records[run_data.indices[split]], records[run_data.split.train]).any()


def describe(run_data: "RunData") -> dict[str, Any]:
    """Return the entry `quality` of `data.json`: marked beats of each split, and those left out.

    Args:
      run_data: the data of the run.

    Returns:
      The entry; empty if marks are not known.
    """
    if not len(run_data.beats.quality):
        return {}
    marked = {
        split: reasons_of(run_data.beats, rows)
        for split, rows in run_data.indices.items()
        if split == "train" or may_be_published(run_data, split)
    }
    left_out = reasons_of(run_data.beats, run_data.left_out)
    return {"quality": {"choice": run_data.quality, "marked": marked, "left_out": left_out}}


def training_notes(run_data: "RunData") -> list[str]:
    """Return a note on marked training beats, if there are any.

    Args:
      run_data: the data of the run.
    """
    if len(run_data.left_out):
        text = _listed(reasons_of(run_data.beats, run_data.left_out))
        return [
            f"{count_text(len(run_data.left_out))} beats in segments without a usable ECG are left "
            f"out of the training set ({text}): dataset.quality=drop"
        ]
    if reasons := reasons_of(run_data.beats, run_data.split.train):
        return [
            f"{count_text(sum(reasons.values()))} of {count_text(len(run_data.split.train))} "
            f"training beats are in segments without a usable ECG ({_listed(reasons)}); "
            "dataset.quality=drop leaves them out of training"
        ]
    return []


@dataclass(frozen=True, kw_only=True)
class MarkedScores:
    """The marked beats of a split, and its scores with and without them.

    Attributes:
      num_beats: beats of the split.
      reasons: mark -> number of beats.
      scores: score -> (of all beats, without the marked ones); NaN where it is undefined. Empty if
        no beat is marked, or all are.

    Example:
      >>> found = MarkedScores(
      ...     num_beats=1000, reasons={"noise": 6}, scores={"accuracy": (0.9, 0.91)}
      ... )
      >>> found.line()
      '6 beats are in segments without a usable ECG (noise 6): accuracy 0.900, without them 0.910'
    """

    num_beats: int
    reasons: Mapping[str, int]
    scores: Mapping[str, tuple[float, float]]

    def line(self) -> str:
        """Return the note on the marked beats; empty if there are none."""
        number = sum(self.reasons.values())
        if not number:
            return ""
        text = (
            f"{count_text(number)} beats are in segments without a usable ECG "
            f"({_listed(self.reasons)})"
        )
        if not self.scores:
            return f"{text}: all of this split"
        shown = [
            f"{title} {score_text(self.scores[key][0])}, without them "
            f"{score_text(self.scores[key][1])}"
            for title, key in _SHOWN
            if key in self.scores
        ]
        return f"{text}: {'; '.join(shown)}"

    def as_dict(self) -> dict[str, Any]:
        """Return the entry of `result.json`."""
        return {
            "beats": self.num_beats,
            "marked": dict(self.reasons),
            "scores": {
                key: {"all": every, "without_marked": usable}
                for key, (every, usable) in self.scores.items()
            },
        }

    def table(self) -> "pd.DataFrame":
        """Return one row per score: score, all, without_marked."""
        import pandas as pd

        rows = [(key, *values) for key, values in self.scores.items()]
        return pd.DataFrame(rows, columns=["score", "all", "without_marked"])


def marked_scores(
    run_data: "RunData", split: str, evaluation: Evaluation, probabilities: np.ndarray
) -> MarkedScores | None:
    """Score a split without its marked beats.

    Args:
      run_data: the data of the run.
      split: `validation` or `test`.
      evaluation: the scores of all of its beats.
      probabilities: (num_beats, classes) of the split's beats.

    Returns:
      The scores with and without marked beats; None if marks are not known or may not be published.
    """
    beats, rows = run_data.beats, run_data.indices[split]
    if not len(beats.quality) or not may_be_published(run_data, split):
        return None
    is_usable = ~beats.is_marked[rows]
    scores: Mapping[str, tuple[float, float]] = {}
    if is_usable.any() and not is_usable.all():
        usable = score(
            beats.labels[rows][is_usable], probabilities[is_usable], beats.class_names
        ).values
        scores = {
            key: (value, usable.get(key, math.nan))
            for key, value in evaluation.scores.values.items()
        }
    return MarkedScores(num_beats=len(rows), reasons=reasons_of(beats, rows), scores=scores)


def _listed(reasons: Mapping[str, int]) -> str:
    parts: Sequence[str] = [f"{mark} {count_text(number)}" for mark, number in reasons.items()]
    return ", ".join(parts)
