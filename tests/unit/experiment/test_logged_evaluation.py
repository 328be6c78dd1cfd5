"""How a run's evaluation on test beats is identified, recorded, counted and stated."""

from types import SimpleNamespace

import numpy as np
import pytest

from ecgexp.experiment import final_evaluation
from ecgexp.experiment.logged_evaluation import (
    LoggedEvaluation,
    configuration_digest,
    sentence,
    test_set_digest,
)
from ecgexp.tracking.evaluation_log import EvaluatedRun, EvaluationLog

test_set_digest.__test__ = False
PARAMS = {"seed": 0, "model.filters": "[4]", "evaluate_on": "[]", "device.kind": "auto"}


@pytest.fixture
def run_data():
    """Six test beats of two patients, and two training beats."""
    beats = SimpleNamespace(
        database="tiny 1",
        record_ids=np.array(["1", "1", "1", "1", "2", "2", "3", "3"]),
        patient_ids=np.array(["a", "a", "a", "a", "b", "b", "c", "c"]),
        r_samples=np.arange(8),
        signals_mv=np.arange(16.0).reshape(8, 2),
        symbols=np.array(list("NNNVNVNN")),
        recordings={"1": "d1", "2": "d2", "3": "d3"},
        cut_elsewhere=False,
        labels=np.array([0, 0, 0, 1, 0, 1, 0, 0]),
        class_names=("N", "V"),
        knows_patients=True,
    )
    return SimpleNamespace(
        beats=beats, indices={"test": np.arange(6)}, split=SimpleNamespace(disjoint="patient")
    )


def logged(tmp_path, run_data, monkeypatch):
    monkeypatch.setattr("ecgexp.experiment.logged_evaluation.test_sha256", lambda _: "d")
    run = EvaluatedRun(id="r", configuration="c", name="n", run_dir="/r", run_id=None)
    return LoggedEvaluation(EvaluationLog(tmp_path), run, run_data)


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({"seed": 1}, False),
        ({"model.filters": "[8]"}, False),
        ({"evaluate_on": "[test]"}, True),
        ({"num_resamples": 0}, True),
        ({"test": "sealed"}, True),
        ({"device.kind": "cpu"}, True),
    ],
)
def test_another_seed_is_another_configuration(change, is_same):
    assert (configuration_digest(PARAMS | change) == configuration_digest(PARAMS)) == is_same


def test_a_test_set_is_that_of_its_records_not_of_preprocessing(run_data):
    beats, rows = run_data.beats, run_data.indices["test"]
    whole = test_set_digest(beats, rows, by_beat=False)
    assert test_set_digest(beats, rows[1:], by_beat=False) == whole
    assert test_set_digest(beats, np.arange(8), by_beat=False) != whole
    single = test_set_digest(beats, rows, by_beat=True)
    assert test_set_digest(beats, rows[1:], by_beat=True) != single
    beats.cut_elsewhere = True
    assert test_set_digest(beats, rows[1:], by_beat=False) != test_set_digest(
        beats, rows, by_beat=False
    )


@pytest.mark.parametrize("cut_elsewhere", [False, True])
@pytest.mark.parametrize("by_beat", [False, True])
def test_a_test_set_has_no_name(run_data, by_beat, cut_elsewhere):
    beats, rows = run_data.beats, run_data.indices["test"]
    beats.cut_elsewhere = cut_elsewhere
    found = test_set_digest(beats, rows, by_beat=by_beat)
    beats.database = "renamed"
    beats.record_ids = np.array(["r9", "r9", "r9", "r9", "r4", "r4", "r1", "r1"])
    beats.patient_ids = beats.record_ids
    beats.recordings = {"r9": "d1", "r4": "d2", "r1": "d3"}
    assert test_set_digest(beats, rows, by_beat=by_beat) == found


@pytest.mark.parametrize("by_beat", [False, True])
def test_a_test_set_depends_on_no_other_beat(run_data, by_beat):
    """Else its published digest would be one of training beats, which no ε covers."""
    beats, rows = run_data.beats, run_data.indices["test"]
    if by_beat:
        rows = rows[::2]
    others = np.setdiff1d(np.arange(8), rows)
    found = test_set_digest(beats, rows, by_beat=by_beat)
    beats.r_samples[others] += 100
    beats.signals_mv[others] += 1
    trained = beats.recordings if by_beat else {"3": "d3"}
    beats.recordings = {**beats.recordings, **dict.fromkeys(trained, "other")}
    assert test_set_digest(beats, rows, by_beat=by_beat) == found


def test_a_failed_final_evaluation_is_counted(tmp_path, run_data, monkeypatch):
    def fail(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(final_evaluation, "evaluate_trained", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        final_evaluation.evaluate_selected(
            SimpleNamespace(evaluated=("test",), test="open"),
            run_data,
            SimpleNamespace(probabilities=None, seeds=None),
            SimpleNamespace(weights=None),
            logged(tmp_path, run_data, monkeypatch),
            None,
            None,
            None,
        )
    assert [event["event"] for event in EvaluationLog(tmp_path).events()] == ["begin"]


def test_result_has_the_count_and_the_bound(tmp_path, run_data, monkeypatch):
    one = logged(tmp_path, run_data, monkeypatch)
    one.begin()
    values = one.end(np.tile([0.9, 0.1], (6, 1)))
    assert (values["number"], values["evaluations"], values["patients"]) == (1, 1, 2)
    assert values["accuracy_by_patient"] == 0.625
    assert values["margin"] == pytest.approx(0.960, abs=1e-3)
    text = sentence(values)
    assert text.startswith("evaluation 1 of this test set; accuracy by patient 0.625 ± 0.960")
    assert "F1 and the jk index have no such bound" in text


def test_patients_that_were_trained_on_have_no_bound(tmp_path, run_data, monkeypatch):
    run_data.split.disjoint = "beat"
    one = logged(tmp_path, run_data, monkeypatch)
    one.begin()
    values = one.end(np.tile([0.9, 0.1], (6, 1)))
    assert values["margin"] is None
    assert "no bound" in sentence(values)


def test_unknown_patients_have_no_accuracy_by_patient(tmp_path, run_data, monkeypatch):
    run_data.beats.knows_patients = False
    one = logged(tmp_path, run_data, monkeypatch)
    one.begin()
    values = one.end(np.tile([0.9, 0.1], (6, 1)))
    assert (values["accuracy_by_patient"], values["patients"], values["margin"]) == (None,) * 3
    assert "patients are unknown" in sentence(values)


def test_a_repeat_names_the_evaluation_that_it_repeats():
    values = {"number": 3, "evaluations": 7, "is_repeat": True, "margin": None, "patients": 2}
    assert sentence(values).startswith("repeat of evaluation 3 of this test set, which had 7")
