"""Forests as arrays: probabilities of scikit-learn, and refusal of arrays that are no forest."""

import numpy as np
import pytest

from ecgexp.models.forest import ARRAYS, Forest
from ecgexp.settings.declaration import DataError


@pytest.fixture(scope="module")
def fitted():
    from sklearn.ensemble import ExtraTreesClassifier

    rng = np.random.default_rng(0)
    rows = rng.standard_normal((300, 4)).astype(np.float32)
    labels = np.where(rows[:, 0] + 0.3 * rng.standard_normal(300) > 0, 2, 0)  # none of class 1
    trees = ExtraTreesClassifier(8, min_samples_leaf=3, random_state=0).fit(rows, labels)
    return trees, rows, Forest.of_sklearn(trees.estimators_, trees.classes_, 3)


def test_probabilities_equal_those_of_scikit_learn(fitted):
    trees, rows, forest = fitted
    found = forest.probabilities(rows)
    np.testing.assert_allclose(found[:, [0, 2]], trees.predict_proba(rows), atol=1e-7)
    assert not found[:, 1].any()
    forest.check(4, 3)


def test_rows_on_a_threshold_go_left_as_in_scikit_learn(fitted):
    trees, _, forest = fitted
    for estimator in trees.estimators_:
        inner = estimator.tree_.feature >= 0
        for sign in (-1, 0, 1):
            near = estimator.tree_.threshold[inner].astype(np.float32)
            near = near if not sign else np.nextafter(near, np.float32(sign * np.inf))
            rows = np.repeat(near[:, None], 4, axis=1)
            expected = trees.predict_proba(rows)
            np.testing.assert_allclose(forest.probabilities(rows)[:, [0, 2]], expected, atol=1e-7)


def changed(forest, name, change):
    arrays = {key: array.copy() for key, array in zip(ARRAYS, forest.arrays, strict=True)}
    arrays[name] = change(arrays[name])
    return Forest(**arrays)


def put(index, value):
    def change(array):
        array[index] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("roots", put(0, 1)),
        ("roots", put(-1, 10**6)),
        ("roots", lambda array: array[::-1].copy()),
        ("roots", lambda array: array[:0]),
        ("features", put(0, 4)),
        ("features", put(0, -2)),
        ("features", put(-1, 0)),  # the last node needs children
        ("features", lambda array: array.astype(np.int64)),
        ("thresholds", put(0, np.nan)),
        ("thresholds", lambda array: array[1:]),
        ("right", put(0, 0)),  # a cycle
        ("right", put(0, -1)),
        ("right", put(0, 10**6)),
        ("right", put(-1, -1)),
        ("right", put(-1, 10**6)),
        ("leaves", lambda array: array[:, :2]),
        ("leaves", put((0, 0), -1)),
        ("leaves", put((0, 0), 7)),
        ("leaves", lambda array: array[:0]),
        ("leaves", lambda array: array.astype(np.float64)),
    ],
)
def test_arrays_that_are_no_forest_are_refused(fitted, name, change):
    with pytest.raises(DataError, match=r"no forest of trees: .*; copy the folder again"):
        changed(fitted[2], name, change).check(4, 3)


def test_a_child_in_another_tree_is_refused(fitted):
    forest = fitted[2]
    with pytest.raises(DataError, match="outside of its tree"):
        changed(forest, "right", put(0, forest.roots[1] + 1)).check(4, 3)
