"""Values of a record: the same in training and prediction, whatever else a run leaves out."""

from dataclasses import replace

import numpy as np
import pytest

from ecgexp.data.beats import BeatSet
from ecgexp.data.formats.record import Record
from ecgexp.data.preprocessing.one_record import preprocess_record
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.data.preprocessing.windows import template
from ecgexp.features import RhythmMorphologyFeatures, SignalFeatures
from ecgexp.features.record_beats import transform_beats, with_record_values
from ecgexp.models.preprocessing import ModelPreprocessing
from tests.support.two_lead_record import signal_and_beats

RECORDS = Preprocessing(leads=("MLII", "V1"), fs_hz=180, window_ms=(360, 560))
FEATURES = RhythmMorphologyFeatures(fs_hz=180, window_ms=(360, 560))


def record(name, seed):
    """At 250 Hz, with a beat whose window leaves the record, and a paced one."""
    signal, samples = signal_and_beats(seed, num_beats=60)
    samples = np.concatenate([[20], samples])
    symbols = np.full(len(samples), "N")
    symbols[30] = "/"
    return Record(
        record_id=name,
        patient_id=name,
        signals_mv=signal,
        lead_names=("MLII", "V1"),
        fs_hz=250.0,
        samples=samples,
        symbols=symbols,
    )


@pytest.fixture(scope="module")
def beats():
    parts, annotated, templates = [], {}, {}
    for name, seed in (("a", 0), ("b", 1)):
        part, _, annotated[name] = preprocess_record(record(name, seed), [0, 1], RECORDS)
        templates[name] = template(part["signals_mv"])
        parts.append(part)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return BeatSet(
        **columns,
        fs_hz=180.0,
        lead_names=("MLII", "V1"),
        database="tiny 1",
        digest="",
        templates_mv=templates,
        annotated=annotated,
    )


def test_training_and_prediction_have_equal_values(beats):
    trained = with_record_values(FEATURES, beats)
    preprocessing = ModelPreprocessing(records=RECORDS, features=FEATURES)
    for name, seed in (("a", 0), ("b", 1)):
        inputs = preprocessing.inputs(record(name, seed), [0, 1])
        assert inputs.record_values is not None
        assert not inputs.is_usable[0]
        np.testing.assert_array_equal(
            inputs.record_values, trained.record_values[beats.record_ids == name]
        )


def test_other_records_and_the_grouping_change_nothing(beats):
    every = with_record_values(FEATURES, beats)
    alone = with_record_values(FEATURES, beats.take(np.flatnonzero(beats.record_ids == "b")))
    np.testing.assert_array_equal(alone.record_values, every.record_values[every.record_ids == "b"])
    some = every.take(np.flatnonzero(every.symbols == "N"))
    assert len(some) < len(every)
    found = transform_beats(FEATURES, some)["rhythm_morphology"]
    np.testing.assert_array_equal(found, every.record_values[every.symbols == "N"])


def test_only_beat_of_a_record_has_no_values(beats):
    rr = beats.rr.copy()
    rr[beats.record_ids == "a"] = np.nan
    found = with_record_values(FEATURES, replace(beats, rr=rr)).record_values
    assert np.isnan(found[beats.record_ids == "a"]).all()
    assert np.isfinite(found[beats.record_ids == "b"]).all()


def test_other_features_leave_the_beats_alone(beats):
    assert with_record_values(SignalFeatures(), beats) is beats
    assert set(transform_beats(SignalFeatures(), beats)) == {"signal"}
