import numpy as np
import pytest

from ecgexp.settings.declaration import ConfigError, build
from ecgexp.training.base import EpochResult
from ecgexp.training.model_selection import ModelSelector, Selection


def epoch_result(step):
    return EpochResult(
        step=step,
        weights=lambda: [np.full(1, step)],
        train_metrics={},
        dp_event=None,
        checkpoint=lambda: None,
    )


def feed(model_selector, scores):
    return [
        model_selector.update(epoch_result(i), {"macro_f1": score})
        for i, score in enumerate(scores, 1)
    ]


def test_the_best_epoch_is_kept():
    model_selector = ModelSelector(Selection(), is_private=False)
    feed(model_selector, [0.1, 0.5, 0.4, 0.5])
    assert (model_selector.step, model_selector.score, model_selector.weights[0][0]) == (2, 0.5, 2)


def test_less_can_be_better():
    model_selector = ModelSelector(Selection(metric="loss", mode="min"), is_private=False)
    for step, loss in enumerate([0.5, 0.1, 0.3], 1):
        model_selector.update(epoch_result(step), {"loss": loss})
    assert model_selector.step == 2


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        ("loss", "max"),
        ("macro_f1", "min"),
        ("f1/V", "min"),
        ("jk_index", "min"),
        ("clients/accuracy_mean", "min"),
    ],
)
def test_direction_that_keeps_the_worst_epoch_is_refused(metric, mode):
    right = {"max": "min", "min": "max"}[mode]
    with pytest.raises(
        ConfigError, match=rf"^selection\.mode={mode}: .*{metric} .*use selection\.mode={right}\.$"
    ):
        build(Selection, {"metric": metric, "mode": mode}, path="selection")


def test_training_stops_after_patience_epochs_without_improvement():
    assert feed(ModelSelector(Selection(patience=2), is_private=False), [0.1, 0.5, 0.4, 0.3]) == [
        True,
        True,
        True,
        False,
    ]


def test_private_training_keeps_the_last_epoch_and_uses_no_validation_beat():
    model_selector = ModelSelector(Selection(), is_private=True)
    feed(model_selector, [0.9, 0.5])
    assert model_selector.step == 2
    assert not model_selector.uses_validation
    assert ModelSelector(Selection(weights="best"), is_private=True).uses_validation
    assert ModelSelector(Selection(patience=3), is_private=True).uses_validation


def test_without_validation_beats_the_last_epoch_can_be_kept():
    model_selector = ModelSelector(Selection(weights="last"), is_private=False)
    assert not model_selector.uses_validation
    assert model_selector.update(epoch_result(1), {})
    assert model_selector.update(epoch_result(2), {})
    assert model_selector.step == 2


def test_an_undefined_score_never_wins_over_a_defined_one():
    model_selector = ModelSelector(Selection(), is_private=False)
    feed(model_selector, [float("nan"), 0.2, float("nan")])
    assert model_selector.step == 2


def test_selection_without_a_defined_score_keeps_the_last():
    model_selector = ModelSelector(Selection(), is_private=False)
    feed(model_selector, [float("nan")] * 3)
    assert (model_selector.step, model_selector.weights[0][0]) == (3, 3)


def test_patience_counts_an_undefined_score_as_none():
    undefined = float("nan")
    assert feed(
        ModelSelector(Selection(patience=2), is_private=False), [undefined, undefined, 0.5]
    ) == [
        True,
        False,
        True,
    ]
    assert feed(
        ModelSelector(Selection(patience=2), is_private=False), [0.5, undefined, undefined]
    ) == [
        True,
        True,
        False,
    ]


def test_selection_among_equal_scores_keeps_the_first():
    model_selector = ModelSelector(Selection(), is_private=False)
    feed(model_selector, [0.5, 0.5, 0.5])
    assert model_selector.step == 1


def test_a_score_that_is_not_there_is_named_with_those_that_are():
    model_selector = ModelSelector(Selection(metric="macro_f2"), is_private=False)
    with pytest.raises(ConfigError, match=r"selection\.metric=macro_f2.*use one of: macro_f1"):
        feed(model_selector, [0.1])
