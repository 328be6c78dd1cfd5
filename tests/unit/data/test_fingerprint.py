"""The digest of beats identifies them, independent of other loaded beats."""

import numpy as np
from tiny_records import make_beats

from ecgexp.data.beats import beats_sha256


def test_beats_sha256_is_independent_of_other_beats():
    few, more = make_beats(["a", "b"]), make_beats(["a", "b", "a longer name"])
    assert beats_sha256(few) == beats_sha256(more.take(np.array([0, 1])))


def test_beats_sha256_changes_with_one_beat():
    beats = make_beats(["a", "b", "b"])
    assert (
        len(
            {
                beats_sha256(beats),
                beats_sha256(beats.take(np.array([0, 1]))),
                beats_sha256(beats.take([0, 2])),
            }
        )
        == 3
    )
