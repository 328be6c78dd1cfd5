"""Strips of the record around misclassified beats, for a reader who examines label and model."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ecgexp.data.datasets.base import Dataset
from ecgexp.data.formats.record import Record
from ecgexp.data.preprocessing.one_record import choose_leads, remove_baseline
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.experiment.data import RunData
from ecgexp.settings.declaration import DataError
from ecgexp.tracking.base import Tracker

SECONDS = 10.0
_MARGIN_S = 3.0  # that the filters of the baseline need on either side
_LARGEST_HZ = 200.0  # above, only every second, third, … sample is stored
_log = logging.getLogger(__name__)


def log_strips(
    tracker: Tracker,
    dataset: Dataset,
    run_data: RunData,
    split: str,
    probabilities: np.ndarray,
    *,
    protects_patients: bool,
    hides_test: bool = False,
) -> None:
    """Log `tables/SPLIT_strips.parquet`: 10 seconds of the record around misclassified beats.

    A strip shows all beats of its record within these seconds, not only those of the split.

    **Guarantees** (`tests/unit/experiment/test_strips.py`): with `protects_patients` there is no
    strip of a patient that has a training beat. With `hides_test` a strip ends before the window of
    the next test beat on either side.

    Args:
      tracker: of the run.
      dataset: reads the records.
      run_data: the data of the run.
      split: `validation` or `test`.
      probabilities: (num_beats, classes) of the split's beats.
      protects_patients: whether the run has a privacy guarantee.
      hides_test: whether the test beats are sealed.
    """
    from ecgexp.evaluation.gallery import strip_beats  # loads matplotlib, slow for a refused run

    beats, rows = run_data.beats, run_data.indices[split]
    if protects_patients:
        trained = np.unique(beats.patient_ids[run_data.split.train])
        allowed = ~np.isin(beats.patient_ids[rows], trained)
        rows, probabilities = rows[allowed], probabilities[allowed]
    chosen = rows[strip_beats(beats.labels[rows], probabilities, beats.patient_ids[rows])]
    places = [(str(beats.record_ids[row]), int(beats.r_samples[row])) for row in chosen]
    hidden: dict[str, list[int]] = {}
    for row in run_data.indices["test"] if hides_test else ():
        hidden.setdefault(str(beats.record_ids[row]), []).append(int(beats.r_samples[row]))
    parts = list(_strips(dataset, places, hidden)) if places else []
    if parts:
        import pandas as pd

        table = pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True)
        tracker.log_table(table, f"tables/{split}_strips.parquet")


def _strips(
    dataset: Dataset, places: Sequence[tuple[str, int]], hidden: Mapping[str, Sequence[int]]
) -> Iterator[dict[str, object]]:
    """Yield the columns of each strip whose record can be read, and that a hidden beat leaves.

    The scores do not need a strip, so a record that cannot be read does not end the run.
    """
    try:
        with dataset.open_records() as read:
            for number, (record_id, sample) in enumerate(places):
                try:
                    record = read(record_id)
                    preprocessing = _of(dataset, record_id)
                    around = _without(hidden.get(record_id, ()), sample, record, preprocessing)
                    if around[0] <= 0 <= around[1]:
                        strip = _strip(record, preprocessing, record_id, sample, around)
                        yield strip | {"strip": number}
                except (DataError, OSError) as error:
                    _log.warning("No strip of record %s: %s", record_id, error)
    except (DataError, OSError) as error:
        _log.warning("No strips of misclassified beats: %s", error)


def _without(
    hidden: Sequence[int], sample: int, record: Record, preprocessing: Preprocessing
) -> tuple[float, float]:
    """Return the seconds around a beat, from and to, that no window of a hidden beat touches.

    The beat itself is outside of them if the window of a hidden beat has it.
    """
    before, after = ((ms + preprocessing.relocate_ms) / 1000 for ms in preprocessing.window_ms)
    first, last = -SECONDS / 2, SECONDS / 2
    for other in hidden:
        second = (other - sample) / record.fs_hz
        if second < 0:
            first = max(first, second + after)
        else:
            last = min(last, second - before)
    return first, last


def _strip(
    record: Record,
    preprocessing: Preprocessing,
    record_id: str,
    sample: int,
    around: tuple[float, float],
) -> dict[str, object]:
    """Return the columns of one strip, of the first lead that the model gets."""
    columns, _ = choose_leads(record, preprocessing)
    if columns is None:
        raise DataError(f"record {record_id} has no lead of dataset.leads; use another one")
    hz = record.signal_hz
    center = sample * record.samples_per_frame
    first, last = (round(center + sign * (SECONDS / 2 + _MARGIN_S) * hz) for sign in (-1, 1))
    first, last = max(first, 0), min(last, len(record.signals_mv))
    lead_mv = remove_baseline(record.signals_mv[first:last, columns[0]], hz, preprocessing)
    times_s = (np.arange(first, last) - center) / hz
    step = math.ceil(hz / _LARGEST_HZ)
    inside = np.flatnonzero((around[0] <= times_s) & (times_s <= around[1]))[::step]
    return {
        "record": record_id,
        "sample": sample,
        "record_hz": record.fs_hz,
        "lead": preprocessing.leads[0],
        "second": times_s[inside].astype(np.float32),
        "mv": np.round(lead_mv[inside], 3).astype(np.float32),
    }


def _of(dataset: Dataset, record_id: str) -> Preprocessing:
    """Return the preprocessing of a record; of two databases, that of its database."""
    database = record_id.partition("/")[0]
    for preprocessing in dataset.preprocessings:
        if getattr(preprocessing, "database", None) == database:
            return preprocessing
    return dataset.preprocessings[0]
