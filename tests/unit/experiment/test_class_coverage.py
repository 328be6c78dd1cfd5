"""A run whose headline would rest on nothing is refused before training, or says what is missing.

No model is trained here.
"""

import dataclasses

import numpy as np
import pytest

from ecgexp.config.compose import load_experiment
from ecgexp.experiment.class_coverage import check_class_coverage, notes_before_training
from ecgexp.experiment.notes import lines, published
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError, DataError

SMALL = [
    "dataset.num_patients=10",
    "dataset.minutes=0.8",
    "grouping=aami4",
    "grouping.empty_class=drop",
]


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """(*overrides, **without) -> an experiment and its beats.

    `without` names classes whose beats of a split become N.
    """
    cache = f"data.cache_dir={tmp_path_factory.mktemp('cache')}"

    def make(*overrides, **without):
        experiment = load_experiment([*SMALL, cache, *overrides])
        run_data = experiment.load_run_data(Seeds(0), lambda *_: None)
        names, labels = list(run_data.beats.class_names), run_data.beats.labels.copy()
        for split, classes in without.items():
            rows = run_data.indices[split]
            labels[rows[np.isin(labels[rows], [names.index(name) for name in classes])]] = (
                names.index("N")
            )
        beats, data = (
            dataclasses.replace(part, labels=labels) for part in (run_data.beats, run_data.data)
        )
        return experiment, dataclasses.replace(run_data, beats=beats, data=data)

    return make


def emptied(run_data, split):
    return dataclasses.replace(
        run_data, split=dataclasses.replace(run_data.split, **{split: np.zeros(0, np.int64)})
    )


def test_evidence_of_an_ordinary_run_is_there(case):
    experiment, run_data = case("split=intra_patient")
    check_class_coverage(experiment, run_data)
    assert set(notes_before_training(experiment, run_data)) <= {"classes", "overlap"}


def test_training_without_beats_is_refused(case):
    experiment, run_data = case("split=intra_patient")
    with pytest.raises(DataError, match=r"no training beats.*split\.test_fraction"):
        check_class_coverage(experiment, emptied(run_data, "train"))


@pytest.mark.parametrize(
    "trainer",
    [(), ("trainer=dp", "privacy.noise_multiplier=1"), ("trainer=federated",)],
    ids=["central", "dp", "federated"],
)
def test_training_on_one_class_is_refused(case, trainer):
    experiment, run_data = case("split=intra_patient", *trainer, train="SVF")
    with pytest.raises(
        DataError, match=r"every training beat is of class N and none of S, V.*split=intra_patient"
    ):
        check_class_coverage(experiment, run_data)


def test_training_without_some_class_is_noted(case):
    experiment, run_data = case("split=intra_patient", train="S")
    check_class_coverage(experiment, run_data)
    training = notes_before_training(experiment, run_data)["training"]
    assert training[0].startswith("no training beat is of class S:")
    assert "test beats of classes without training beats" in training[-1]


@pytest.mark.parametrize("weights", ["sqrt", "balanced"])
def test_weights_of_a_class_without_beats_are_refused(case, weights):
    experiment, run_data = case("split=intra_patient", f"loss.class_weights={weights}", train="S")
    with pytest.raises(
        DataError, match=rf"loss\.class_weights={weights}: .* class S.*loss\.class_weights=none"
    ):
        check_class_coverage(experiment, run_data)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_scoring_a_split_without_beats_is_refused(case, split):
    experiment, run_data = case("split=intra_patient", "selection.weights=last")
    rest = {"validation": "test", "test": "validation"}[split]
    with pytest.raises(
        ConfigError,
        match=rf"evaluate_on=\[validation,test\]: .* no {split} beats.*evaluate_on=\[{rest}\]",
    ):
        check_class_coverage(experiment, emptied(run_data, split))


def test_choosing_without_validation_beats_is_refused(case):
    experiment, run_data = case("split=intra_patient", "evaluate_on=[test]")
    with pytest.raises(ConfigError, match=r"no validation beats.*split\.validation_fraction"):
        check_class_coverage(experiment, emptied(run_data, "validation"))


@pytest.mark.parametrize("metric", ["f1/V", "sensitivity/V", "positive_predictivity/V", "jk_index"])
def test_choosing_by_an_absent_class_is_refused(case, metric):
    experiment, run_data = case("split=intra_patient", f"selection.metric={metric}", validation="V")
    with pytest.raises(
        ConfigError,
        match=rf"selection\.metric={metric}: no validation beat is of class "
        r"V.*selection\.weights=last",
    ):
        check_class_coverage(experiment, run_data)


@pytest.mark.parametrize("metric", ["macro_f1", "loss", "accuracy"])
def test_choosing_by_beats_of_one_class_is_refused(case, metric):
    mode = "min" if metric == "loss" else "max"
    typed = ("split=intra_patient", f"selection.metric={metric}", f"selection.mode={mode}")
    experiment, run_data = case(*typed, validation="SVF")
    with pytest.raises(
        ConfigError, match=r"selection\.metric=.*every validation beat is of class N"
    ):
        check_class_coverage(experiment, run_data)


def test_patience_by_an_absent_class_is_refused(case):
    typed = (
        "split=intra_patient",
        "selection.metric=f1/V",
        "selection.weights=last",
        "selection.patience=2",
    )
    experiment, run_data = case(*typed, validation="V")
    with pytest.raises(ConfigError, match=r"selection\.metric=f1/V"):
        check_class_coverage(experiment, run_data)


def test_last_epoch_needs_no_class_for_its_choice(case):
    experiment, run_data = case(
        "split=intra_patient", "selection.metric=f1/V", "selection.weights=last", validation="V"
    )
    check_class_coverage(experiment, run_data)


def test_personalizing_nobody_is_refused(case):
    experiment, run_data = case(
        "split=inter_patient", "trainer=federated", "federated_baselines.personalize_epochs=1"
    )
    with pytest.raises(
        ConfigError, match=r"federated_baselines\.personalize_epochs=1: .*split=intra_patient"
    ):
        check_class_coverage(experiment, run_data)


def test_classes_of_the_grouping_without_beats_are_noted(case):
    experiment, run_data = case("split=intra_patient")
    grouping = dataclasses.replace(
        experiment.grouping, classes={**experiment.grouping.classes, "Q": ("Q",)}
    )
    experiment = dataclasses.replace(experiment, grouping=grouping)
    notes = notes_before_training(experiment, run_data)
    assert "no beat of these records is of class Q of grouping=aami4" in notes["classes"][0]


def test_clients_of_one_class_each_are_noted(case):
    experiment, run_data = case("split=intra_patient", "trainer=federated")
    owner = {row: i for i, rows in enumerate(run_data.partition.train.values()) for row in rows}
    labels = run_data.data.labels.copy()
    for row, number in owner.items():
        labels[row] = number % 2
    beats, data = (
        dataclasses.replace(part, labels=labels) for part in (run_data.beats, run_data.data)
    )
    notes = notes_before_training(experiment, dataclasses.replace(run_data, beats=beats, data=data))
    assert any("has training beats of one class only" in note for note in notes["training"])


def test_notes_of_private_training_beats_are_withheld():
    notes = {"training": ["no training beat is of class S: the model cannot have learned them"]}
    public = {"test": ["no beat is of class V"], "classes": ["x"]}
    with_some, with_none = (published({**public, **more}, withholds=True) for more in (notes, {}))
    assert (
        with_some == with_none
    )  # what is published does not tell whether there was something to withhold
    assert set(with_some) == {"test", "classes", "private"}
    assert "private/values.json" in with_some["private"][0]


def test_notes_without_a_guarantee_are_all_reported():
    notes = {"test": ["x"], "training": ["y", "z"]}
    assert published(notes, withholds=False) == notes
    assert lines(notes) == ["test: x", "training: y", "training: z"]


def test_classes_that_share_a_metric_key_are_refused():
    experiment = load_experiment(["tracking=none"])
    grouping = dataclasses.replace(experiment.grouping, classes={"A+": ("N",), "Ax2b": ("V",)})
    with pytest.raises(
        ValueError,
        match=r"grouping\.classes=.*A\+ and Ax2b would share the metric name Ax2b; rename one",
    ):
        dataclasses.replace(experiment, grouping=grouping)
