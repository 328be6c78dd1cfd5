"""Identify the training population, so that runs on the same patients are accounted together.

If a patient's beats are in two runs, the privacy losses of both runs add up for that patient, also
if the runs use different splits, windows, leads, classes or records, or a copy of the records under
another name. Therefore runs are compared by the origin of their beats, not by the set of beats.
"""

import hashlib
import zlib
from collections.abc import Iterator

import numpy as np

from ecgexp.data.beats import TESTED, BeatSet, databases
from ecgexp.data.datasets.catalog import published_databases
from ecgexp.privacy.keyed_digests import DigestKey

_LENGTH = 8  # successive intervals between annotated beats, taken to be unique to a patient
_MARKED_ROWS = 64  # of a file of rows; the smallest digests of two files agree if most rows do
_MARKS = 4  # for each record: some remain equal if windows or a grouping drop beats


def training_population_of(beats: BeatSet, key: DigestKey) -> frozenset[str]:
    """Return identifiers of the patients on whose beats a run may be trained.

    Two runs that share an identifier may share a patient.

    **Guarantees**: runs on the same database share an identifier whatever their splits and records,
    because neighboring data sets may differ in any unit of the database
    (`tests/unit/data/test_populations.py`). Runs on a published database and on one that some of
    its records come from share an identifier too.

    Across other databases there is no guarantee. The copy of a record under another database name
    shares an identifier if one of the few runs of `_LENGTH` successive intervals that identify the
    record is the same, with the same symbols. A copy that was resampled or annotated anew is not
    recognized, nor is a patient with new recordings in another database, nor beats that somebody
    else cut from the records of another database; files of such beats share an identifier if they
    have the same name or many rows in common.

    Args:
      beats: All beats of the run; for two databases only the training database counts.
      key: Key of the digests of records, without which the identifiers do not reveal the records.

    Returns:
      The identifiers.
    """
    rows = np.flatnonzero(beats.parts != TESTED) if beats.is_of_two else np.arange(len(beats))
    name = databases(beats.database)[0].split(" ")[0]
    parts = name.split("+")
    described = [entry for part in parts if (entry := published_databases().get(part))]
    words = {
        f"database {part}"
        for part in (*parts, *(each for one in described for each in one.sources))
    }
    if beats.cut_elsewhere:
        found = sorted(
            {hashlib.sha256(beats.signals_mv[row].tobytes()).digest() for row in rows.tolist()}
        )
        return frozenset(
            words | {f"row {key.digest('row', data)[:32]}" for data in found[:_MARKED_ROWS]}
        )
    for record in np.unique(beats.record_ids[rows]):
        own = rows[beats.record_ids[rows] == record]
        own = own[np.argsort(beats.r_samples[own], kind="stable")]
        found = sorted(
            _runs(beats.r_samples[own], beats.symbols[own]),
            key=lambda data: (zlib.crc32(data), data),
        )
        words |= {f"record {key.digest('record', data)[:32]}" for data in found[:_MARKS]}
    return frozenset(words)


def _runs(r_samples: np.ndarray, symbols: np.ndarray) -> Iterator[bytes]:
    """Yield the bytes of `_LENGTH` successive intervals and their symbols, or of all of them."""
    intervals = np.diff(r_samples).astype("<i8")
    length = min(_LENGTH, len(intervals))
    for first in range(len(intervals) - length + 1):
        run = slice(first, first + length)
        yield (
            intervals[run].tobytes()
            + "".join(symbols[first : first + length + 1].tolist()).encode()
        )
