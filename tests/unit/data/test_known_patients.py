"""How the patients of beats are known: stated, assumed or unknown."""

from dataclasses import replace

import numpy as np
import pytest

from ecgexp.data.beats import least_known
from ecgexp.data.preprocessing.cache import CachedBeats, load_or_preprocess
from tests.support.tiny_records import make_beats


def _never():
    raise AssertionError


@pytest.mark.parametrize("known", ["stated", "assumed", "unknown"])
def test_patients_are_after_take_and_cache_unchanged(tmp_path, known):
    template = {"a": np.zeros((2, 1), np.float32)}
    annotated = {"a": np.zeros((2, 2), np.int64)}
    beats = replace(
        make_beats(["a", "a"]),
        labels=np.zeros(0, np.int64),
        class_names=(),
        templates_mv=template,
        annotated=annotated,
        patients_are=known,
    )
    load_or_preprocess(tmp_path, "0" * 64, lambda: CachedBeats(beats=beats))
    cached = load_or_preprocess(tmp_path, "0" * 64, _never)
    assert cached.beats.take(np.array([0])).patients_are == known


def test_beats_with_unnamed_way_of_patients_raise():
    assert make_beats(["a"]).patients_are == "stated"
    with pytest.raises(ValueError, match="patients_are"):
        replace(make_beats(["a"]), patients_are="guessed")


def test_joined_patients_are_known_as_the_least():
    assert least_known(["stated", "unknown", "assumed"]) == "unknown"
