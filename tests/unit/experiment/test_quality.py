"""Marked beats leave the training set only, and scores are given with and without them."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from ecgexp.config.compose import load_experiment
from ecgexp.data.quality.marks import FLAT, MARKS, NOISE
from ecgexp.evaluation.evaluator import evaluate
from ecgexp.experiment.artifacts import describe_data
from ecgexp.experiment.notes import published
from ecgexp.experiment.quality import marked_scores, training_notes, without_marked
from ecgexp.privacy.publication import divide
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError, DataError

SMALL = ["dataset.num_patients=10", "dataset.minutes=0.8", "grouping=binary", "dataset.noise=6"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(*overrides) -> the data of a run on noisy recordings."""
    cache = f"data.cache_dir={tmp_path_factory.mktemp('cache')}"

    def make(*overrides):
        experiment = load_experiment([*SMALL, cache, *overrides])
        return experiment.load_run_data(Seeds(0), lambda *_: None)

    return make


def places(run_data, rows):
    beats = run_data.beats
    return list(zip(beats.record_ids[rows].tolist(), beats.r_samples[rows].tolist(), strict=True))


def scored(run_data, split="test"):
    """The scores of a model that is wrong for marked beats alone."""
    beats, rows = run_data.beats, run_data.indices[split]
    predicted = np.where(beats.is_marked[rows], 1 - beats.labels[rows], beats.labels[rows])
    probabilities = np.eye(2)[predicted] * 0.8 + 0.1
    evaluation = evaluate(
        labels=beats.labels[rows],
        probabilities=probabilities,
        class_names=beats.class_names,
        record_ids=beats.record_ids[rows],
        patient_ids=beats.patient_ids[rows],
        majority_class=0,
        rng=np.random.default_rng(0),
        num_resamples=0,
    )
    return marked_scores(run_data, split, evaluation, probabilities)


def test_drop_takes_marked_beats_from_training_alone(made):
    marked, dropped = made(), made("dataset.quality=drop")
    is_marked = marked.beats.is_marked
    assert 0 < is_marked[marked.split.train].sum() < len(marked.split.train)
    assert is_marked[marked.split.test].any()
    for split in ("validation", "test"):
        rows = dropped.indices[split]
        assert places(dropped, rows) == places(marked, marked.indices[split])
    kept = marked.split.train[~is_marked[marked.split.train]]
    assert places(dropped, dropped.split.train) == places(marked, kept)
    assert np.array_equal(dropped.data.train, dropped.split.train)
    left = sum(describe_data(dropped)["quality"]["left_out"].values())
    assert left == len(dropped.left_out) == is_marked[marked.split.train].sum()
    assert "dataset.quality=drop" in training_notes(dropped)[0]


def test_marks_change_no_beat_and_no_split(made):
    marked, ignored = made(), made("dataset.quality=ignore")
    assert not len(ignored.beats.quality)
    assert "quality" not in describe_data(ignored)
    assert training_notes(ignored) == []
    assert marked.beats.digest == ignored.beats.digest
    assert np.array_equal(marked.beats.signals_mv, ignored.beats.signals_mv)
    for split, rows in marked.indices.items():
        assert np.array_equal(rows, ignored.indices[split])


def test_scores_stand_with_and_without_marked_beats(made):
    run_data = made()
    found = scored(run_data)
    number = int(run_data.beats.is_marked[run_data.split.test].sum())
    assert sum(found.reasons.values()) == number
    assert found.num_beats == len(run_data.split.test)
    every, without = found.scores["accuracy"]
    assert every == pytest.approx(1 - number / found.num_beats)
    assert without == 1
    assert "accuracy" in found.line()
    assert "without them 1.000" in found.line()
    assert found.table().columns.tolist() == ["score", "all", "without_marked"]
    assert found.as_dict()["scores"]["accuracy"] == {"all": every, "without_marked": without}


def test_without_marked_beats_there_is_no_line(made):
    run_data = made()
    beats = dataclasses.replace(run_data.beats, quality=np.zeros(len(run_data.beats), np.int8))
    found = scored(dataclasses.replace(run_data, beats=beats))
    assert (found.line(), found.reasons, found.scores) == ("", {}, {})


def test_marked_training_beats_are_not_published(made):
    run_data = made("dataset.quality=drop")
    shown, kept = divide(describe_data(run_data), under="data/")
    assert set(shown["quality"]) == {"choice", "marked"}
    assert set(shown["quality"]["marked"]) == {"validation", "test"}
    assert set(kept["quality"]) == {"marked", "left_out"}
    notes = published({"quality": training_notes(run_data)}, withholds=True)
    assert set(notes) == {"private"}


def test_marks_of_records_with_training_beats_are_withheld(made):
    """A mark depends on 10 s of signal, and so on training beats of the same record."""
    run_data = dataclasses.replace(made("split=intra_patient"), withholds_training=True)
    assert set(describe_data(run_data)["quality"]["marked"]) == {"train"}
    assert scored(run_data) is None
    apart = dataclasses.replace(made(), withholds_training=True)
    assert set(describe_data(apart)["quality"]["marked"]) == {"train", "validation", "test"}
    assert scored(apart) is not None


@pytest.mark.parametrize("overlap", [[], ["privacy.group=overlap"]])
def test_drop_is_refused_where_one_beat_is_protected(overlap):
    typed = ["trainer=dp", "privacy.noise_multiplier=1", "dataset.quality=drop", *overlap]
    with pytest.raises(ConfigError, match=r"dataset.quality=drop.*use dataset.quality=mark"):
        load_experiment(typed)


@pytest.mark.parametrize("unit", ["record", "patient"])
def test_drop_is_possible_where_a_patient_is_protected(unit):
    load_experiment(
        ["trainer=dp", "privacy=patient", f"privacy.unit={unit}", "dataset.quality=drop"]
        + ["privacy.noise_multiplier=1"]
    )


def test_what_is_dropped_of_a_patient_depends_on_no_other(made):
    run_data = made()
    beats, parts = run_data.beats, run_data.split
    first = beats.patient_ids[parts.train] == beats.patient_ids[parts.train[0]]
    quality = beats.quality.copy()
    quality[parts.train[first]] = MARKS.index(NOISE)
    other, _ = without_marked(dataclasses.replace(beats, quality=quality), parts)
    same, _ = without_marked(beats, parts)
    others = beats.patient_ids != beats.patient_ids[parts.train[0]]
    assert np.array_equal(other.train, same.train[others[same.train]])


def test_only_marked_training_beats_are_refused():
    beats = SimpleNamespace(is_marked=np.ones(4, bool), quality=np.full(4, MARKS.index(FLAT)))
    parts = SimpleNamespace(train=np.arange(4))
    with pytest.raises(DataError, match=r"dataset.quality=drop.*use dataset.quality=mark"):
        without_marked(beats, parts)
