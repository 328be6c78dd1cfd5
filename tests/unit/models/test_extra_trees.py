"""Extremely randomized trees: weights, bias, seeds, and the saved model, without TensorFlow."""

from dataclasses import replace

import numpy as np
import pytest

from ecgexp.config.compose import load_experiment
from ecgexp.data.beats import RR_FEATURES
from ecgexp.features.rhythm_morphology import RhythmMorphologyFeatures
from ecgexp.features.shortened_records import shortened
from ecgexp.models import Classifier, ExtraTrees, ModelPreprocessing
from ecgexp.models.estimator import Examples, is_estimator
from ecgexp.models.mlp import Mlp
from ecgexp.models.saved_classifier import load_classifier, save_classifier
from ecgexp.settings.declaration import ConfigError, DataError
from tests.support.two_lead_record import FS_HZ, WINDOW_MS, record_beats, signal_and_beats
from tests.unit.features.test_record_beats import FEATURES, RECORDS, record

CLASSES = ("N", "S", "V")


@pytest.fixture(scope="module")
def examples():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [200, 100, 60])
    rows = rng.standard_normal((360, 30)) + labels[:, None]
    return Examples(
        features={"rhythm_morphology": rows.astype(np.float32)},
        labels=labels,
        class_names=CLASSES,
        patient_ids=np.where(np.arange(360) % 10 < 9, "a", "b"),
        record_ids=np.where(np.arange(360) % 10 < 9, "a", "b"),
    )


@pytest.fixture(scope="module")
def weights(examples):
    return ExtraTrees(num_trees=5).fit(examples, 3)


def test_equal_seeds_give_equal_trees(examples, weights, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    again = ExtraTrees(num_trees=5).fit(examples, 3)
    for first, second in zip(weights, again, strict=True):
        np.testing.assert_array_equal(first, second)
    other = ExtraTrees(num_trees=5).fit(examples, 4)
    assert not np.array_equal(weights[2], other[2])


def test_many_beats_of_a_patient_weigh_as_their_root(examples):
    found = ExtraTrees(full_weight_beats={"S": 40, "V": 100}).weights(examples)
    is_s = examples.labels == 1
    patients = examples.patient_ids[is_s]
    assert found[is_s][patients == "a"].sum() == pytest.approx(np.sqrt(40 * 90))
    assert found[is_s][patients == "b"].tolist() == [1.0] * 10
    assert (found[~is_s] == 1).all()


def test_bias_multiplies_the_odds(examples, weights):
    biased = [*weights[:-1], np.array([0, 0.4, 0])]
    plain = ExtraTrees().probabilities(weights, examples.features)
    found = ExtraTrees().probabilities(biased, examples.features)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found[:, 1] / found[:, 0], np.exp(0.4) * plain[:, 1] / plain[:, 0])
    np.testing.assert_allclose(found[:, 2] / found[:, 0], plain[:, 2] / plain[:, 0])


def test_fit_stores_the_bias_of_its_classes(examples):
    stored = ExtraTrees(num_trees=1, class_bias={"S": 0.4}).fit(examples, 0)[-1]
    assert stored.tolist() == [0.0, 0.4, 0.0]


def classifier(weights):
    return Classifier(
        builder=ExtraTrees(num_trees=5),
        preprocessing=ModelPreprocessing(records=RECORDS, features=FEATURES),
        weights=weights,
        class_names=CLASSES,
        database="tiny 1",
    )


def test_shortened_records_are_further_examples(monkeypatch):
    beats = record_beats(*signal_and_beats(num_beats=400))
    values = RhythmMorphologyFeatures(fs_hz=FS_HZ, window_ms=WINDOW_MS).of_record(beats)
    previous = beats.rr[:, RR_FEATURES.index("rr_previous_s")]
    examples = Examples(
        features={"rhythm_morphology": np.tile(values, (2, 1))},
        labels=np.tile(previous < 0.71, 2).astype(int),
        class_names=("N", "S"),
        patient_ids=np.repeat(["a", "b"], len(values)),
        record_ids=np.repeat(["a", "b"], len(values)),
        previous_s=np.tile(previous, 2),
    )
    given = []
    monkeypatch.setattr(
        "sklearn.ensemble.ExtraTreesClassifier.fit",
        lambda self, *rows, sample_weight: given.append((*rows, sample_weight)) or 1 / 0,
    )
    model = ExtraTrees(full_weight_beats={"S": 9}, shortened_neighbors=(2,), shortened_weight=0.5)
    with pytest.raises(ZeroDivisionError):
        model.fit(examples, 0)
    ((rows, labels, weights),) = given
    kept, found = shortened(values, previous, 2)
    num = len(examples.labels)
    np.testing.assert_array_equal(rows, np.concatenate([np.tile(values, (2, 1)), found, found]))
    np.testing.assert_array_equal(labels[num:], np.tile(examples.labels[kept], 2))
    np.testing.assert_array_equal(weights[:num], model.weights(examples))
    np.testing.assert_array_equal(weights[num:], np.tile(0.5 * weights[kept], 2))
    with pytest.raises(DataError, match=r"^model\.shortened_neighbors=\[2\]: .*use a dataset"):
        model.fit(replace(examples, previous_s=None), 0)


def test_saved_model_predicts_the_same_without_pickle(weights, tmp_path):
    folder = save_classifier(classifier(weights), tmp_path / "model")
    assert sorted(path.name for path in folder.iterdir()) == [
        "model.json",
        "preprocessing.json",
        "weights.safetensors",
    ]
    inputs = classifier(weights).preprocessing.inputs(record("a", 0), [0, 1])
    arrays = inputs.signals_mv, inputs.rr, inputs.templates_mv, inputs.record_values
    found = load_classifier(folder).predict_probabilities(*arrays)
    np.testing.assert_array_equal(found, classifier(weights).predict_probabilities(*arrays))
    np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: weights[:-1],
        lambda weights: [*weights[:-1], np.zeros(2)],
        lambda weights: [*weights[:-1], np.full(3, np.inf)],
        lambda weights: [weights[0], np.full_like(weights[1], 30), *weights[2:]],
    ],
)
def test_weights_of_another_model_are_refused(weights, change):
    with pytest.raises(DataError, match="train the model again"):
        _ = classifier(change(list(weights))).weight_names


def test_size_names_trees_and_nodes(weights):
    assert ExtraTrees().size(weights).startswith("5 trees with ")


def test_kinds_of_models_are_distinguished():
    assert is_estimator(ExtraTrees())
    assert not is_estimator(Mlp())


TREES = ["model=extra_trees", "dataset.window_ms=[360,560]"]


def test_model_brings_features_and_trainer():
    experiment = load_experiment(TREES)
    assert experiment.title == "extratrees fit seed 0"
    assert experiment.features.names() == {"rhythm_morphology"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer=dp", "privacy=eps3"], r"^trainer=dp.*: .*model=extra_trees.*use trainer=fit"),
        (["trainer=federated"], r"^trainer=federated: .*model=extra_trees.*use trainer=fit"),
        (["trainer=centralized"], r"^trainer=centralized: .*use trainer=fit"),
        (["privacy=eps3"], r"^trainer=fit: .*use trainer=dp, or privacy=none"),
        (["augmentation=signal"], r"^augmentation=signal: .*use augmentation=none"),
        (["loss=balanced"], r"^loss=.*use loss=cross_entropy"),
        (["debug=overfit"], r"^debug=overfit: .*use debug=smoke"),
        (["features=signal"], r"^model=extra_trees: does not take signal"),
        (["model.class_bias={X: 1}"], r"^model\.class_bias\.X: .*use N, S, V, F, Q"),
        (
            ["features=handcrafted", "model.shortened_neighbors=[1]"],
            r"^model\.shortened_neighbors=\[1\]: .*use these, or model\.shortened_neighbors=\[\]",
        ),
        (["model.full_weight_beats={X: 1}"], r"^model\.full_weight_beats\.X: .*use N, S"),
        (["model=cnn1d", "trainer=fit"], r"^trainer=fit: .*use trainer=centralized"),
    ],
)
def test_parts_that_do_not_fit_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment([*TREES, *overrides])
