"""Leaving one patient out: who is trained on, who is predicted, and how a setting is chosen."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ecgexp.cli.leave_one_out import main
from ecgexp.config.compose import load_experiment
from ecgexp.experiment import leave_one_out
from ecgexp.experiment.leave_one_out import (
    PatientBeats,
    check_can_leave_out,
    choose_without_each,
    evaluate_left_out,
    load_patients,
    patient_with_most,
    predict_left_out,
)
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.training.fit import Fit
from tests.support.tiny_records import make_beats

TREES = ["model=extra_trees", "model.num_trees=3", "features=handcrafted", "num_resamples=20"]
RECORDS = np.repeat(["a", "b", "c", "d", "e"], 40)


@pytest.fixture(scope="module")
def experiment():
    return load_experiment([*TREES, "split.test_fraction=0.4"])


def beats_of(records=RECORDS):
    labels = np.arange(len(records)) % 2
    return make_beats(records, labels=labels)


def patients_of(beats):
    rng = np.random.default_rng(0)
    rows = (beats.labels[:, None] + rng.standard_normal((len(beats), 7))).astype(np.float32)
    return PatientBeats(beats=beats, rows=np.arange(len(beats)), features={"handcrafted": rows})


def test_each_patient_is_predicted_by_a_model_without_it(experiment, monkeypatch):
    trained = []

    def train(self, data, **kwargs):
        trained.append(set(data.patient_ids[data.train].tolist()))
        yield from original(self, data, **kwargs)

    original = Fit.train
    monkeypatch.setattr(Fit, "train", train)
    shown = []
    found = predict_left_out(
        experiment, patients_of(beats_of()), lambda *args: shown.append(args[2])
    )
    assert trained == [set("abcde") - {patient} for patient in "abcde"]
    assert shown == [*"abcde", ""]
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_labels_of_a_patient_do_not_change_its_predictions(experiment):
    patients = patients_of(beats_of())
    beats, is_b = patients.beats, patients.beats.patient_ids == "b"
    other = replace(beats, labels=np.where(is_b, 1 - beats.labels, beats.labels))
    before, after = (
        predict_left_out(experiment, replace(patients, beats=one), lambda *_: None)
        for one in (beats, other)
    )
    np.testing.assert_array_equal(before[is_b], after[is_b])
    assert not np.array_equal(before[~is_b], after[~is_b])


def test_choice_for_a_patient_does_not_depend_on_its_labels():
    patients = patients_of(beats_of())
    labels, owners = patients.labels, patients.beats.patient_ids
    right = np.eye(2)[labels]
    # The second candidate is right for all but b, and the first one only for b.
    first = np.where((owners == "b")[:, None], right, 1 - right)
    choice = choose_without_each(patients, [first, 1 - first], "accuracy", largest=True)
    assert set(choice.chosen.values()) == {1}
    np.testing.assert_array_equal(choice.probabilities, 1 - first)
    worst = choose_without_each(patients, [first, 1 - first], "accuracy", largest=False)
    assert set(worst.chosen.values()) == {0}


@pytest.mark.parametrize("all_patients", [False, True])
def test_test_patients_are_used_only_if_asked(experiment, monkeypatch, all_patients):
    beats = beats_of()
    monkeypatch.setattr(leave_one_out, "load_beats", lambda **_: beats)
    monkeypatch.setattr(
        leave_one_out, "transform_beats", lambda *_: {"handcrafted": np.zeros((len(beats), 7))}
    )
    found = load_patients(experiment, all_patients=all_patients, on_progress=lambda *_: None)
    assert len(found.patients) == (5 if all_patients else 3)
    beats = beats_of(RECORDS[:80])
    with pytest.raises(DataError, match=r"2 patients .* 3 are needed; use more records"):
        load_patients(experiment, all_patients=True, on_progress=lambda *_: None)


def test_unknown_and_divided_patients_are_refused(experiment, monkeypatch):
    beats = beats_of()
    monkeypatch.setattr(leave_one_out, "load_beats", lambda **_: beats)
    divided = load_experiment([*TREES, "split=intra_patient"])
    with pytest.raises(ConfigError, match=r"^split: .*use split=inter_patient, or --patients all"):
        load_patients(divided, all_patients=False, on_progress=lambda *_: None)
    beats = replace(beats, patients_are="unknown")
    with pytest.raises(ConfigError, match=r"^dataset: .*use dataset\.patients="):
        load_patients(experiment, all_patients=True, on_progress=lambda *_: None)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer=dp", "privacy=eps3"], r"^privacy\.unit=beat: .*use privacy=none"),
        (["selection.patience=3"], r"^selection\.patience=3: .*use selection\.patience=null"),
        (["debug=smoke"], r"^debug=smoke: .*use ecgexp debug=smoke"),
    ],
)
def test_runs_that_cannot_be_repeated_without_a_patient_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        check_can_leave_out(load_experiment(overrides))


def test_scores_without_the_patient_with_most_beats(experiment):
    beats = beats_of(np.repeat(["a", "b", "c", "d", "e", "f"], [40, 60, 20, 20, 20, 20]))
    patients = patients_of(beats)
    assert patient_with_most(patients, "V") == "b"
    with pytest.raises(ConfigError, match=r"--without-most X: .*use N, V"):
        patient_with_most(patients, "X")
    probabilities = np.eye(2)[beats.labels]
    found = evaluate_left_out(experiment, patients, probabilities, without=["b"])
    assert found.num_beats == 120
    assert {row["record"] for row in found.per_record} == set("acdef")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--choose", "model.min_leaf"], "--choose model.min_leaf: .*use e.g."),
        (["--seeds", "a"], "--seeds a: .*use e.g. --seeds 0,1,2"),
        (["--by", "f1/X"], "--by f1/X: not a score; use one of .*f1/S"),
    ],
)
def test_wrong_options_are_refused_in_one_line(capsys, words, message):
    assert main([*TREES, *words]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    import re

    assert re.search(message, said[0])


def test_command_prints_and_writes_every_candidate_and_the_choice(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(leave_one_out, "load_patients", lambda *_, **__: patients_of(beats_of()))
    monkeypatch.setattr("ecgexp.experiment.experiment.Experiment.check_can_start", lambda _: None)
    file = tmp_path / "left_out.json"
    words = [*TREES, "--choose", "model.min_leaf=1,5", "--by", "macro_f1", "--without-most", "V"]
    assert main([*words, "--seeds", "0,1", "--output", str(file)]) == 0
    assert "patients left out · model.min_leaf=5" in capsys.readouterr().out
    content = json.loads(file.read_text(encoding="utf-8"))
    assert [(one["value"], one["seed"]) for one in content["results"]] == [
        (value, seed)
        for seed in (0, 1)
        for value in (
            "model.min_leaf=1",
            "model.min_leaf=5",
            "chosen by macro_f1 without the patient",
        )
    ]
    assert set(content["results"][2]["chosen"]) == set("abcde")
    assert content["results"][0]["without"] == "a"
    assert main([*words, "--output", str(file)]) == 2
    assert "use --overwrite" in capsys.readouterr().err
