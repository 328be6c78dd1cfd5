"""What beats are: a digest that is the same wherever these beats are."""

import numpy as np
from tiny_records import make_beats

from ecgexp.data.beats import beats_sha256


def test_beats_sha256_ignores_what_else_was_loaded():
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
