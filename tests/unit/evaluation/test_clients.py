import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgexp.evaluation.clients import client_groups, score_clients, spread
from ecgexp.evaluation.metrics import majority_scores, quick_scores

NAMES = ("N", "S", "V")
# Ten beats, rows 20 to 29 of all; 3 of 4 of "b" are correct, 1 of 5 of "a", and the one of "c".
ROWS = np.arange(20, 30)
PART = {
    "b": np.array([20, 22, 24, 26]),
    "c": np.array([28]),
    "a": np.array([21, 23, 25, 27, 29]),
    "idle": np.array([], int),
}
LABELS = np.array([0, 2, 0, 2, 1, 2, 0, 0, 1, 0])
PREDICTED = np.array([0, 0, 0, 2, 0, 0, 0, 1, 1, 1])


def scored():
    return score_clients(PART, ROWS, LABELS, PREDICTED, NAMES, majority_class=0)


def test_clients_are_scored_on_their_own_beats():
    scores = scored()
    assert scores.clients == ("a", "b", "c")
    assert scores.groups.tolist() == [1, 0, 1, 0, 1, 0, 1, 0, 2, 0]
    assert scores.beats.tolist() == [5, 4, 1]
    assert scores.accuracy.tolist() == [1 / 5, 3 / 4, 1]
    assert scores.majority_accuracy.tolist() == [
        2 / 5,
        3 / 4,
        0,
    ]  # the majority class, which c does not have
    assert scores.largest_share.tolist() == [3 / 5, 3 / 4, 1]
    # a: N 0 of 2 correct, V 1 of 3 and no false one: F1 0 and 1/2. b: N 3 correct and one false:
    # 6/7; S never: 0. c has beats of one class: there is no average over classes, which would read
    # 1.
    assert scores.num_classes.tolist() == [2, 2, 1]
    assert scores.macro_f1 == pytest.approx([1 / 4, 3 / 7, np.nan], nan_ok=True)


def test_client_rows_begin_with_the_worst_client():
    rows = scored().rows({"a", "c"})
    assert [row["client"] for row in rows] == ["a", "b", "c"]
    assert [row["in_training"] for row in rows] == [True, False, True]
    assert rows[0] == {
        "client": "a",
        "beats": 5,
        "classes": 2,
        "in_training": True,
        "accuracy": 1 / 5,
        "macro_f1": 1 / 4,
        "majority_accuracy": 2 / 5,
        "largest_class_share": 3 / 5,
    }


def test_spread_is_over_clients_and_not_over_beats():
    assert scored().spread() == pytest.approx(
        {
            "accuracy_mean": (1 / 5 + 3 / 4 + 1) / 3,
            "accuracy_worst_decile": 1 / 5,
            "accuracy_best": 1,
        }
    )


@pytest.mark.parametrize(
    ("count", "expected"), [(1, 0.0), (19, 0.0), (20, 0.5), (39, 1.0), (40, 1.5)]
)
def test_worst_decile_is_at_least_one_client(count, expected):
    values = np.arange(count, dtype=float)[::-1]
    assert (
        spread(values)["worst_decile"]
        == {1: 0.0, 19: 0.0, 20: 0.5, 39: 1.0, 40: 1.5}[count]
        == expected
    )


def test_spread_omits_unknown_scores():
    assert spread(np.array([0.5, np.nan, 1.0])) == {"mean": 0.75, "worst_decile": 0.5, "best": 1.0}
    assert spread(np.array([np.nan])) == spread(np.array([])) == {}


@settings(max_examples=40)
@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_client_scores_are_independent_of_the_order_of_beats(num_clients, seed):
    rng = np.random.default_rng(seed)
    rows = rng.permutation(100)[:40]
    holders = rng.integers(num_clients, size=40)
    part = {f"c{i}": np.sort(rows[holders == i]) for i in range(num_clients)}
    labels, predicted = rng.integers(3, size=40), rng.integers(3, size=40)
    scores = score_clients(part, rows, labels, predicted, NAMES, majority_class=1)
    assert scores.clients == tuple(sorted(client for client, held in part.items() if len(held)))
    for i, client in enumerate(scores.clients):
        mine = holders == int(client[1:])
        alone = quick_scores(labels[mine], np.eye(3)[predicted[mine]], NAMES).values
        assert scores.accuracy[i] == pytest.approx(alone["accuracy"])
        assert scores.macro_f1[i] == pytest.approx(alone["macro_f1"], nan_ok=True)
        assert scores.majority_accuracy[i] == pytest.approx(
            majority_scores(labels[mine], 1, NAMES).values["accuracy"]
        )


def test_no_beats_give_no_clients():
    clients, groups = client_groups({}, np.array([], int))
    assert clients == ()
    assert len(groups) == 0
