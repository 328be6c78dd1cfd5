"""A teacher has seen no patient that the run scores or, under privacy, protects."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from ecgexp.config import load_experiment
from ecgexp.data import SyntheticDataset
from ecgexp.data.beats import databases
from ecgexp.experiment import teacher as teachers
from ecgexp.experiment.artifacts import test_sha256 as sha256_of_test
from ecgexp.experiment.leave_one_out import check_can_leave_out
from ecgexp.experiment.teacher import with_teacher
from ecgexp.models.classifier import Classifier
from ecgexp.models.estimator import Examples
from ecgexp.models.preprocessing import ModelPreprocessing
from ecgexp.models.saved_classifier import save_classifier
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.publication import is_published
from ecgexp.privacy.statement import state
from ecgexp.seeding import Seeds
from ecgexp.settings.build import to_node
from ecgexp.settings.declaration import ConfigError
from ecgexp.tracking.local.result import Result
from ecgexp.tracking.local.tracker import JsonlTracker
from ecgexp.tracking.params import parameters

DATA = [
    "features=handcrafted",
    "dataset.num_patients=5",
    "dataset.minutes=1",
    "data.cache_dir=null",
]
TREES = ["model=extra_trees", "model.num_trees=3", *DATA]
OTHERS = ["dataset.seed=7"]  # other virtual patients
PRIVATE = ["privacy=patient", "privacy.noise_multiplier=1"]
DP = ["trainer=dp", "trainer.expected_batch_size=1", "trainer.epochs=1", *PRIVATE]


def loaded(experiment):
    return experiment.load_run_data(Seeds(experiment.seed), lambda *_: None)


@pytest.fixture(scope="module", autouse=True)
def databases_once(tmp_path_factory):
    """Reads each database once."""
    loaded, load = {}, SyntheticDataset.load

    def once(self, on_progress):
        if repr(self) not in loaded:
            loaded[repr(self)] = load(self, on_progress)
        return loaded[repr(self)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECGEXP_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(SyntheticDataset, "load", once)
        yield


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """The folder of a finished run of a forest, written without the run."""
    folder = tmp_path_factory.mktemp("teacher")
    experiment = load_experiment(TREES)
    run_data = loaded(experiment)
    data = run_data.data
    weights = experiment.model.fit(
        Examples(
            features={name: array[data.train] for name, array in data.features.items()},
            labels=data.labels[data.train],
            class_names=data.class_names,
            patient_ids=data.patient_ids[data.train],
            record_ids=data.record_ids[data.train],
        ),
        0,
    )
    classifier = Classifier(
        builder=experiment.model,
        preprocessing=ModelPreprocessing.of_run(
            experiment.dataset.preprocessings,
            experiment.features,
            databases(run_data.beats.database),
        ),
        weights=weights,
        class_names=run_data.beats.class_names,
        database=run_data.beats.database,
    )
    write(folder, experiment, sha256_of_test(run_data))
    save_classifier(classifier, folder / "model")
    return folder


def write(folder, experiment, test_sha256, status="FINISHED", **params):
    tracker = JsonlTracker(folder)
    tracker.log_params(parameters(to_node(experiment)) | params)
    Result(status=status, data={"test_sha256": test_sha256}).write(folder)
    tracker.finish(status)


def student(folder, *overrides):
    return load_experiment(
        ["model=mlp", *DATA, "loss=distillation", f"loss.teacher={folder}", *overrides]
    )


def test_teacher_of_other_patients_gives_probabilities_of_training_beats(teacher):
    experiment = student(teacher, *OTHERS, *DP)
    run_data = loaded(experiment)
    found, train = run_data.data.teacher, run_data.split.train
    np.testing.assert_allclose(found[train].sum(axis=1), 1, rtol=1e-5)
    others = np.ones(len(found), bool)
    others[train] = False
    assert np.isnan(found[others]).all()
    assert (found[train].argmax(axis=1) == run_data.beats.labels[train]).mean() > 0.5
    labels = run_data.data.loss_labels
    np.testing.assert_array_equal(labels[:, 0], run_data.beats.labels)
    np.testing.assert_array_equal(labels[train, 1:], found[train])
    assert "synthetic" in run_data.teacher[1]


def test_teacher_that_saw_the_private_patients_is_refused(teacher):
    # Without privacy this is no leakage: neither run has seen the test patients.
    assert loaded(student(teacher)).data.teacher is not None
    with pytest.raises(ConfigError, match=r"^loss\.teacher=.*this run protects.*other patients"):
        loaded(student(teacher, *DP))
    with pytest.raises(ConfigError, match=r"this run protects"):
        loaded(student(teacher, "trainer=federated", *PRIVATE, "partition=by_patient"))
    with pytest.raises(ConfigError, match=r"this run protects"):
        loaded(student(teacher, *DP, "privacy.noise_seed=1"))


def test_teacher_that_saw_scored_patients_is_refused(teacher):
    with pytest.raises(ConfigError, match=r"this run scores.*other patients"):
        loaded(student(teacher, "split=patient_kfold", "split.num_folds=2", "split.fold=1"))


def test_renamed_copy_of_a_private_patient_is_recognized(teacher, monkeypatch):
    """The beats themselves are compared, so that another name of a database hides nothing."""
    original = teachers._names_can_agree
    monkeypatch.setattr(teachers, "_names_can_agree", lambda *_: False)
    with pytest.raises(ConfigError, match=r"this run protects"):
        loaded(student(teacher, *DP))
    assert not original("mitdb 1.0.0", "svdb 1.0.0")
    assert original("mitdb 1.0.0", "mitdb 1.0.0 -> svdb 1.0.0")
    assert original("mitdb 1.0.0", "recordings")


def test_teacher_of_the_teacher_counts_too(teacher, tmp_path):
    """A public student of a private model would carry the private patients on."""
    between = student(teacher, *OTHERS)
    write(tmp_path, between, sha256_of_test(loaded(between)))
    shutil.copytree(teacher / "model", tmp_path / "model")
    with pytest.raises(ConfigError, match=r"this run protects"):
        loaded(student(tmp_path, *DP))


def test_unknown_test_beats_of_a_teacher_count_as_seen(teacher, tmp_path):
    """A split that cannot be repeated proves nothing about who was left out."""
    shutil.copytree(teacher, tmp_path / "run")
    result = json.loads((teacher / "result.json").read_text(encoding="utf-8"))
    result["data"]["test_sha256"] = "0" * 64
    (tmp_path / "run" / "result.json").write_text(json.dumps(result), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"this run scores"):
        loaded(student(tmp_path / "run"))


def test_features_of_adjacent_beats_are_refused_for_single_beats(teacher):
    overrides = ["model=cnn1d_small", "features=signal", "trainer=dp", "privacy=eps3"]
    with pytest.raises(ConfigError, match=r"privacy\.unit=beat cannot cover.*features=signal"):
        loaded(student(teacher, *OTHERS, *overrides))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset.window_ms=[200,250]"], r"dataset\.window_ms; use window_ms="),
        (["grouping=binary"], r"its class .* is none of this run; use a teacher of"),
    ],
)
def test_teacher_that_does_not_fit_is_refused(teacher, overrides, message):
    with pytest.raises(ConfigError, match=message):
        loaded(student(teacher, *OTHERS, *overrides))


def test_unfinished_run_is_refused(teacher, tmp_path):
    with pytest.raises(ConfigError, match=r"^loss\.teacher=.*use the folder of a finished run"):
        loaded(student(tmp_path / "missing"))
    write(tmp_path, load_experiment(TREES), "", status="FAILED")
    with pytest.raises(ConfigError, match=r"the run is FAILED; use a finished run"):
        student(tmp_path).check_can_start()
    with pytest.raises(ConfigError, match=r"^loss\.teacher=null: .*use the folder of a finished"):
        load_experiment(["loss=distillation"]).check_can_start()


def test_left_out_patients_have_no_teacher(teacher):
    with pytest.raises(ConfigError, match=r"^loss\.teacher=.*use loss=cross_entropy"):
        check_can_leave_out(student(teacher))


def test_refusals_are_published_and_the_statement_names_the_teacher(teacher):
    assert is_published("error", "ecgexp.experiment.teacher:ConfigError")
    experiment = student(teacher, *OTHERS, *DP)
    run_data = loaded(experiment)
    ledger = Ledger(experiment.trainer.plan(experiment.privacy, run_data.data))
    statement = state(ledger.planned(), teacher=run_data.teacher)
    assert "whom the teacher has seen: " in statement.line()
    assert "ε says nothing about these patients" in statement.text()
    assert statement.as_dict()["teacher"].endswith(run_data.teacher[1])
    assert (
        with_teacher(replace(experiment, loss=load_experiment().loss), run_data, print) is run_data
    )
