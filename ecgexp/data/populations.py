"""Who may be among the training beats: words by which runs on the same people find each other, wherever their files lie.

Two runs that one person's beats were in lose that person's privacy together, also where their beats differ: other splits,
windows, leads and classes, a part of the records, a copy of the records under another name. So runs are compared by where
their beats are from, never by their set of beats.
"""

import zlib
from collections.abc import Iterator

import numpy as np

from ecgexp.data.beats import TESTED, BeatSet, databases
from ecgexp.privacy.keyed_digests import DigestKey

_LENGTH = 8  # intervals between annotated beats; so many in a row are one heart's own
_MARKS = (
    4  # of each record: enough for one to survive where a window or a grouping leaves beats out
)


def training_population_of(beats: BeatSet, key: DigestKey) -> frozenset[str]:
    """Words for the people whose beats a run may be trained on; two runs that share a word may share a person.

    **Guarantees**: runs on one database share a word, whatever their splits and records are, since the neighboring data sets of
    a guarantee differ in any of its units. Records that were copied to another database share one if they have the same
    annotated beats in places, `_LENGTH` intervals in a row (`tests/data/test_people.py`). Not recognized: one person
    recorded anew for another database.

    Args:
      beats: all beats of the run; of two databases those of the one that is trained on count.
      key: the marks of records are keyed, so that they tell nobody who has no key which records these are.
    """
    rows = np.flatnonzero(beats.parts != TESTED) if beats.is_of_two else np.arange(len(beats))
    name = databases(beats.database)[0].split(" ")[0]
    words = {f"database {name}"}
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
    """Intervals and symbols of so many beats in a row; of a shorter record all of it."""
    intervals = np.diff(r_samples).astype("<i8")
    length = min(_LENGTH, len(intervals))
    for first in range(len(intervals) - length + 1):
        run = slice(first, first + length)
        yield (
            intervals[run].tobytes()
            + "".join(symbols[first : first + length + 1].tolist()).encode()
        )
