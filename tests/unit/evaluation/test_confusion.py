import numpy as np
import pytest
from sklearn import metrics as sk

from ecgexp.evaluation.confusion import confusion_scores, count_confusion, has_jk_index, jk_index
from ecgexp.evaluation.metrics import quick_scores

# de Chazal, O'Dwyer & Reilly 2004, DS2, as published for N S V F; the last column follows from the
# classes' totals (44259, 1837, 3221, 388). The seven Q beats are left out.
DE_CHAZAL = np.array(
    [
        [38444, 1904, 303, 3509, 99],
        [173, 1395, 252, 16, 1],
        [117, 321, 2504, 176, 103],
        [33, 1, 7, 347, 0],
        [0, 0, 0, 0, 0],
    ]
)


def test_confusion_counts_agree_with_scikit_learn(predictions):
    ours = count_confusion(predictions.labels, predictions.predicted, num_classes=5)
    np.testing.assert_array_equal(
        ours[0], sk.confusion_matrix(predictions.labels, predictions.predicted)
    )


def test_confusion_counts_of_a_patient_are_of_its_beats(predictions):
    names, groups = np.unique(predictions.patient_ids, return_inverse=True)
    by_patient = count_confusion(
        predictions.labels,
        predictions.predicted,
        num_classes=5,
        groups=groups,
        num_groups=len(names),
    )
    for name, matrix in zip(names, by_patient, strict=True):
        own = predictions.patient_ids == name
        expected = sk.confusion_matrix(
            predictions.labels[own], predictions.predicted[own], labels=range(5)
        )
        np.testing.assert_array_equal(matrix, expected)


def test_confusion_scores_agree_with_scikit_learn(predictions):
    names, groups = np.unique(predictions.patient_ids, return_inverse=True)
    matrices = count_confusion(
        predictions.labels,
        predictions.predicted,
        num_classes=5,
        groups=groups,
        num_groups=len(names),
    )
    vectorized = confusion_scores(matrices, predictions.class_names)
    for i, name in enumerate(names):
        own = predictions.patient_ids == name
        one = quick_scores(
            predictions.labels[own], predictions.probabilities[own], predictions.class_names
        )
        for key, values in vectorized.items():
            assert values[i] == pytest.approx(one.values[key], abs=1e-12, nan_ok=True), key


def test_confusion_scores_of_de_chazal_2004_are_reproduced():
    scores = confusion_scores(DE_CHAZAL, ("N", "S", "V", "F", "Q"))
    assert scores["sensitivity/S"] == pytest.approx(0.759, abs=5e-4)
    assert scores["positive_predictivity/S"] == pytest.approx(0.385, abs=5e-4)
    assert scores["sensitivity/V"] == pytest.approx(0.777, abs=5e-4)
    # 81.9 % was published: 2504 / 3059, without the seven F beats taken for V, which EC57 exempts
    # and which count here.
    assert scores["positive_predictivity/V"] == pytest.approx(2504 / (303 + 252 + 2504 + 7))


def test_ec57_exemption_changes_jk_index_as_documented():
    scores = dict(confusion_scores(DE_CHAZAL, ("N", "S", "V", "F", "Q")))
    exempt = scores | {"positive_predictivity/V": 2504 / (303 + 252 + 2504)}
    assert jk_index(exempt) - jk_index(scores) == pytest.approx(0.0002, abs=5e-5)


def test_jk_index_of_a_matrix_computed_by_hand():
    # 100 beats, 80 10 10 true and 78 12 10 predicted: agreement .87, by chance .80·.78 + .10·.12 +
    # .10·.10 = .646
    confusion = np.array([[73, 4, 3], [3, 7, 0], [2, 1, 7]])
    kappa = (0.87 - 0.646) / (1 - 0.646)
    expected = kappa / 2 + (7 / 10 + 7 / 10 + 7 / 12 + 7 / 10) / 8
    assert confusion_scores(confusion, ("N", "S", "V"))["jk_index"] == pytest.approx(
        expected, abs=1e-12
    )


def test_jk_index_of_a_perfect_classifier_is_one():
    assert confusion_scores(np.diag([5, 3, 900, 2]), ("V", "F", "N", "S"))[
        "jk_index"
    ] == pytest.approx(1)


def test_jk_index_is_defined_for_aami_classes_only():
    assert has_jk_index(("N", "S", "V", "F"))
    assert not has_jk_index(("N", "L", "R", "V", "/", "A"))
    assert "jk_index" not in confusion_scores(np.eye(2), ("N", "abnormal"))


def test_undefined_scores_are_nan_and_not_zero():
    scores = confusion_scores(np.array([[9, 1, 0], [0, 0, 0], [4, 0, 0]]), ("N", "S", "V"))
    assert np.isnan(scores["sensitivity/S"])
    assert np.isnan(scores["positive_predictivity/V"])
    assert np.isnan(scores["jk_index"])
    assert np.isnan(
        scores["f1/S"]
    )  # predicted once, wrongly: its +P is 0, and there is no beat that it could have missed
    assert scores["positive_predictivity/S"] == 0
    assert scores["f1/V"] == 0  # present and never predicted: defined
    assert scores["macro_f1"] == pytest.approx(
        (2 * 9 / (10 + 13) + 0) / 2
    )  # over N and V, the classes present


def test_average_of_a_single_class_is_undefined():
    scores = confusion_scores(np.array([[7, 0], [0, 0]]), ("N", "V"))
    assert np.isnan(scores["macro_f1"])
    assert np.isnan(scores["balanced_accuracy"])
    assert scores["accuracy"] == 1


def test_average_without_a_class_of_the_average_is_undefined():
    matrices = np.array([[[5, 0, 0], [1, 3, 0], [0, 0, 2]], [[5, 0, 0], [1, 3, 0], [0, 0, 0]]])
    whole = confusion_scores(matrices, ("N", "S", "V"), averaged=np.array([True, True, True]))
    assert np.isnan(whole["macro_f1"]).tolist() == [False, True]
    of_two = confusion_scores(matrices, ("N", "S", "V"), averaged=np.array([True, True, False]))
    assert not np.isnan(of_two["macro_f1"]).any()


def test_kappa_of_a_single_class_is_undefined():
    assert np.isnan(confusion_scores(np.array([[7, 0], [0, 0]]), ("N", "V"))["kappa"])
