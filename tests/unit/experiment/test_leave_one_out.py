"""Leaving one patient out: who is trained on, who is predicted, and how a setting is chosen."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecgexp.cli.leave_one_out import main
from ecgexp.config.compose import load_experiment
from ecgexp.experiment import leave_one_out
from ecgexp.experiment.leave_one_out import (
    Loader,
    PatientBeats,
    check_can_leave_out,
    check_same_beats,
    choose_without_each,
    evaluate_left_out,
    patient_with_most,
)
from ecgexp.experiment.left_out_folds import Candidate, Folds, predict_left_out
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.tracking.local.run_json import read_run
from ecgexp.tracking.local.tracker import read_metrics
from ecgexp.training.fit import Fit
from tests.support.tiny_records import make_beats

TREES = ["model=extra_trees", "model.num_trees=3", "features=handcrafted", "num_resamples=20"]
RECORDS = np.repeat(["a", "b", "c", "d", "e"], 40)


@pytest.fixture(scope="module")
def experiment():
    return load_experiment([*TREES, "split.test_fraction=0.4"])


def predicted(experiment, patients):
    (found,) = predict_left_out([candidate(experiment, patients)], lambda *_: None).probabilities
    return found


def candidate(experiment, patients, name=""):
    return Candidate(name=name, experiment=experiment, patients=patients)


def load_patients(experiment, *, all_patients):
    return Loader(all_patients=all_patients, on_progress=lambda *_: None).load(experiment)


def beats_of(records=RECORDS):
    labels = np.arange(len(records)) % 2
    return make_beats(records, labels=labels)


def patients_of(beats):
    rng = np.random.default_rng(0)
    rows = (beats.labels[:, None] + rng.standard_normal((len(beats), 7))).astype(np.float32)
    return PatientBeats(beats=beats, rows=np.arange(len(beats)), features={"handcrafted": rows})


def test_published_test_set_is_not_scored_to_choose(experiment, monkeypatch):
    loaded = {}
    monkeypatch.setattr("ecgexp.experiment.leave_one_out.load_beats", lambda **_: loaded["beats"])
    for records, refused in ((["101", "106", "108"], False), (["101", "106", "100"], True)):
        beats = beats_of(np.repeat(records, 40))
        loaded["beats"] = replace(beats, database="mitdb 1.0.0")
        monkeypatch.setattr(
            "ecgexp.experiment.leave_one_out.transform_beats", lambda *_: {"handcrafted": None}
        )
        if refused:
            with pytest.raises(ConfigError, match=r"^--patients all: .*DS2 \(100\).*use dataset"):
                load_patients(experiment, all_patients=True)
        else:
            assert len(load_patients(experiment, all_patients=True).patients) == 3


def test_each_patient_is_predicted_by_a_model_without_it(experiment, monkeypatch):
    trained = []

    def train(self, data, **kwargs):
        trained.append(set(data.patient_ids[data.train].tolist()))
        yield from original(self, data, **kwargs)

    original = Fit.train
    monkeypatch.setattr(Fit, "train", train)
    shown = []
    found = predict_left_out(
        [candidate(experiment, patients_of(beats_of()))], lambda *args: shown.append(args[2])
    )
    assert trained == [set("abcde") - {patient} for patient in "abcde"]
    assert shown == [*"abcde", ""]
    np.testing.assert_allclose(found.probabilities[0].sum(axis=1), 1)


def test_labels_of_a_patient_do_not_change_its_predictions(experiment):
    patients = patients_of(beats_of())
    beats, is_b = patients.beats, patients.beats.patient_ids == "b"
    other = replace(beats, labels=np.where(is_b, 1 - beats.labels, beats.labels))
    before, after = (predicted(experiment, replace(patients, beats=one)) for one in (beats, other))
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
    found = load_patients(experiment, all_patients=all_patients)
    assert len(found.patients) == (5 if all_patients else 3)
    beats = beats_of(RECORDS[:80])
    with pytest.raises(DataError, match=r"2 patients .* 3 are needed; use more records"):
        load_patients(experiment, all_patients=True)


def test_unknown_and_divided_patients_are_refused(experiment, monkeypatch):
    beats = beats_of()
    monkeypatch.setattr(leave_one_out, "load_beats", lambda **_: beats)
    divided = load_experiment([*TREES, "split=intra_patient"])
    with pytest.raises(ConfigError, match=r"^split: .*use split=inter_patient, or --patients all"):
        load_patients(divided, all_patients=False)
    beats = replace(beats, patients_are="unknown")
    with pytest.raises(ConfigError, match=r"^dataset: .*use dataset\.patients="):
        load_patients(experiment, all_patients=True)


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


@pytest.fixture
def command(monkeypatch, tmp_path):
    """The command on five patients of given beats, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Loader, "load", lambda *_: patients_of(beats_of()))
    monkeypatch.setattr("ecgexp.experiment.experiment.Experiment.check_can_start", lambda _: None)
    return lambda *words: main(["tracking=none", *TREES, *words])


def test_one_fit_serves_all_values_that_change_the_decision_only(experiment, monkeypatch):
    patients, fits = patients_of(beats_of()), []

    def train(self, data, **kwargs):
        fits.append(1)
        yield from original(self, data, **kwargs)

    original = Fit.train
    monkeypatch.setattr(Fit, "train", train)
    experiments = [
        load_experiment([*TREES, f"++model.class_bias.V={bias}", f"model.min_leaf={leaf}"])
        for bias, leaf in ((0, 3), (2, 3), (2, 9))
    ]
    together = predict_left_out(
        [candidate(one, patients) for one in experiments], lambda *_: None
    ).probabilities
    assert len(fits) == 2 * 5
    for one, found in zip(experiments, together, strict=True):
        np.testing.assert_array_equal(found, predicted(one, patients))
    assert not np.array_equal(together[0], together[1])


def test_values_that_change_the_beats_are_refused_before_training():
    patients = patients_of(beats_of())
    fewer = replace(patients, rows=patients.rows[1:])
    with pytest.raises(ConfigError, match=r"--choose x=1,2: changes the beats.*choose a setting"):
        check_same_beats([patients, fewer], "x=1,2")


def test_command_prints_and_writes_every_candidate_and_the_choice(capsys, command, tmp_path):
    file = tmp_path / "left_out.json"
    words = ["--choose", "model.min_leaf=1,5", "--by", "macro_f1", "--without-most", "V"]
    # A setting may stand after an option.
    words = [*words, "--seeds", "0,1", "num_resamples=30"]
    assert command(*words, "--output", str(file)) == 0
    printed = capsys.readouterr().out
    assert "patients left out · model.min_leaf=5" in printed
    assert "F1 with 95 % interval: N " in printed
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
    patient = content["results"][0]["patients"][0]
    assert patient["true/V"] == patient["found/V"] + patient["true/V/as/N"] == 20
    assert command(*words, "--output", str(file)) == 2
    assert "use --overwrite" in capsys.readouterr().err


def test_command_is_stored_as_one_run_of_training_patients(command, capsys):
    assert command("--choose", "model.min_leaf=1,5", "--json") == 0
    folder = Path(json.loads(capsys.readouterr().out)["folder"])
    run = read_run(folder)
    assert run["status"] == "FINISHED"
    assert run["tags"]["leave_one_out"] == "training patients"
    assert run["tags"]["command"].endswith("--choose model.min_leaf=1,5")
    assert run["params"]["leave_one_out.choose"] == "model.min_leaf=1,5"
    assert "model.min_leaf" not in run["params"]
    assert run["params"]["seed"] == 0
    logged = {name for _, metrics in read_metrics(folder / "metrics.jsonl") for name in metrics}
    assert {"left_out/macro_f1", "left_out/f1_ci_low/V", "resources/seconds"} <= logged
    table = pd.read_csv(folder / "tables" / "patients.csv")
    assert len(table) == 3 * 5
    assert (table["true/N"] == table["found/N"] + table["true/N/as/V"]).all()


def test_interrupted_command_resumes_with_the_next_patient(command, monkeypatch, capsys):
    trained = []

    def train(self, data, **kwargs):
        trained.append(1)
        if stop and len(trained) == 3:
            raise KeyboardInterrupt
        yield from original(self, data, **kwargs)

    original = Fit.train
    monkeypatch.setattr(Fit, "train", train)
    stop = True
    assert command() == 130
    (folder,) = Path("outputs/ecgexp/leave_one_out").iterdir()
    assert read_run(folder)["status"] == "KILLED"
    assert len(list((folder / "folds").iterdir())) == 2
    stop = False
    assert command("--json") == 0
    assert len(trained) == 3 + 3
    resumed = capsys.readouterr()
    assert "2 of 5 patients were predicted before" in resumed.err
    assert read_run(folder)["status"] == "FINISHED"
    assert command("--json") == 0
    assert len(trained) == 6
    again = capsys.readouterr()
    assert "finished before" in again.err
    assert json.loads(again.out)["results"] == json.loads(resumed.out)["results"]
    whole = predicted(load_experiment(TREES), patients_of(beats_of()))
    scores = evaluate_left_out(load_experiment(TREES), patients_of(beats_of()), whole)
    shown = json.loads(again.out)["results"][0]["metrics"]
    assert shown["left_out/macro_f1"] == scores.scores.values["macro_f1"]


def test_predictions_of_other_beats_are_not_used(tmp_path):
    found = np.full((1, 2, 2), 0.5)
    Folds(tmp_path, digest="a", name="seed0").write(3, "x", found, 1.5)
    kept = Folds(tmp_path, digest="a", name="seed0").read(3, "x", found.shape)
    assert kept is not None
    assert kept[1] == 1.5
    for digest, patient, shape in (
        ("b", "x", (1, 2, 2)),
        ("a", "y", (1, 2, 2)),
        ("a", "x", (1, 3, 2)),
    ):
        assert Folds(tmp_path, digest=digest, name="seed0").read(3, patient, shape) is None
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"seed0_003.*remove the file"):
        Folds(tmp_path, digest="a", name="seed0").read(3, "x", found.shape)
