"""Sex and age of the patients of each split, in the result of `dataset.demographics=true`."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgexp.data.formats.demographics import UNKNOWN, Demographics

if TYPE_CHECKING:
    from ecgexp.experiment.data import RunData


def describe(run_data: "RunData") -> dict[str, Any]:
    """Return the entry `demographics` of `data.json`: patients of each split by sex and by decade.

    **Guarantees**: under a privacy guarantee it has no split with a patient who has training beats,
    except `train`, which the table of outputs withholds
    (`tests/unit/experiment/test_demographics.py`).

    Args:
      run_data: the data of the run.

    Returns:
      The entry; empty without `dataset.demographics=true`.
    """
    beats = run_data.beats
    if not beats.demographics:
        return {}
    trained = beats.patient_ids[run_data.split.train]
    counts = {}
    for split, rows in run_data.indices.items():
        is_trained_on = np.isin(beats.patient_ids[rows], trained).any()
        if split == "train" or not (is_trained_on and run_data.withholds_training):
            counts[split] = _counts(run_data, rows)
    return {"demographics": counts}


def _counts(run_data: "RunData", rows: np.ndarray) -> dict[str, dict[str, int]]:
    beats = run_data.beats
    records: dict[str, set[str]] = {}
    for patient, record in set(
        zip(beats.patient_ids[rows].tolist(), beats.record_ids[rows].tolist(), strict=True)
    ):
        records.setdefault(patient, set()).add(record)
    found = [
        [beats.demographics.get(record, Demographics()) for record in sorted(own)]
        for own in records.values()
    ]
    return {
        "sex": _sorted(Counter(_known([each.sex for each in one]) for one in found)),
        "age": _sorted(Counter(_known([each.age for each in one]) for one in found)),
    }


def _known(values: list[str]) -> str:
    return next((value for value in values if value != UNKNOWN), UNKNOWN)


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))
