"""The learning curve of a run that was interrupted.

The epochs that stand, each once, whatever was rolled back.
"""

import json
import math
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgexp.tracking import JsonlTracker, MemoryTracker
from ecgexp.tracking.local.checkpoint_folder import CHECKPOINTS
from ecgexp.tracking.local.tracker import read_metrics
from ecgexp.training.base import TrainerState
from ecgexp.training.checkpointing.manager import (
    CheckpointManager,
    CheckpointRule,
    LearningCurve,
    TrainingState,
)
from ecgexp.training.model_selection import ModelSelector, Selection

EPOCHS = 6


class Killed(Exception):
    """The process ends here."""


def session(folder, rng, *, every, resumes, remote=None, kill=None):
    """Trains with values that no second session repeats.

    `kill` is (epoch, before which part of its end).
    """
    tracker = JsonlTracker(folder)
    checkpoint_manager = CheckpointManager(
        folder, CheckpointRule(every=every), data_digest="d", resumes=resumes
    )
    training_state = checkpoint_manager.training_state
    curve = LearningCurve(tracker, () if training_state is None else training_state.points)
    mirrored = (
        None
        if remote is None
        else LearningCurve(remote, () if training_state is None else training_state.points)
    )
    for epoch in range(len(curve.points) + 1, EPOCHS + 1):
        point = {"curve/train/loss": float(rng.random()), "privacy/epsilon_spent": float(epoch)}
        curve.add(point)
        if mirrored is not None:
            mirrored.add(point)
        if kill == (epoch, "save"):
            raise Killed
        state = TrainingState(
            step=epoch, trainer=TrainerState(arrays={}, meta={}), points=curve.points, is_over=False
        )
        if checkpoint_manager.save(
            state,
            ModelSelector(Selection(weights="last"), is_private=True),
            is_last=epoch == EPOCHS,
        ):
            if kill == (epoch, "show"):
                raise Killed
            curve.show()
            if mirrored is not None:
                mirrored.show()
    return curve.points


def on_disk(folder):
    return [
        (step, metrics)
        for step, metrics in read_metrics(folder / "metrics.jsonl")
        if step is not None
    ]


KILLS = st.tuples(st.integers(1, EPOCHS), st.sampled_from(["save", "show"]))


@settings(max_examples=20)
@given(
    kills=st.lists(KILLS, max_size=4),
    every=st.integers(1, 3),
    damaged=st.sets(st.integers(0, 3)),
    seed=st.integers(0, 99),
)
def test_curve_after_resumes_is_that_of_the_epochs_that_stand(
    tmp_path_factory, kills, every, damaged, seed
):
    folder, rng = tmp_path_factory.mktemp("run"), np.random.default_rng(seed)
    for number, kill in enumerate(kills):
        with suppress(Killed):
            session(folder, rng, every=every, resumes=number > 0, kill=kill)
        found = sorted((folder / CHECKPOINTS).glob("step-*"))
        if number in damaged and len(found) > 1:
            found[-1].write_bytes(b"damaged")
    points = session(folder, rng, every=every, resumes=bool(kills))
    assert on_disk(folder) == list(enumerate(points, 1))


def test_curve_of_a_rolled_back_epoch_never_reaches_a_store(tmp_path):
    """MLflow takes nothing back, so nothing is shown that a crash could undo."""
    rng, store = np.random.default_rng(0), MemoryTracker()
    store.discard_points = lambda *, after: None
    with pytest.raises(Killed):
        session(tmp_path, rng, every=2, resumes=False, remote=store, kill=(4, "save"))
    assert store.metrics["curve/train/loss"] == [
        (step, metrics["curve/train/loss"]) for step, metrics in on_disk(tmp_path)
    ]
    assert [step for step, _ in on_disk(tmp_path)] == [1, 2]


def test_curve_of_a_kill_after_the_checkpoint_is_shown_by_the_next_session(tmp_path):
    with pytest.raises(Killed):
        session(tmp_path, np.random.default_rng(0), every=1, resumes=False, kill=(3, "show"))
    assert [step for step, _ in on_disk(tmp_path)] == [1, 2]
    points = session(tmp_path, np.random.default_rng(1), every=1, resumes=True)
    assert on_disk(tmp_path) == list(enumerate(points, 1))


def test_history_has_nan_where_an_epoch_has_no_value():
    """A round without clients has no loss.

    Without a gap the later rounds would move one to the left.
    """
    curve = LearningCurve(MemoryTracker())
    for point in (
        {"curve/train/loss": 3.0},
        {"privacy/epsilon_spent": 1.0},
        {"curve/train/loss": 1.0},
    ):
        curve.add(point)
    history = curve.history("curve/")
    assert list(history) == ["train/loss"]
    assert history["train/loss"][::2] == [3.0, 1.0]
    assert math.isnan(history["train/loss"][1])


def test_points_survive_a_checkpoint_as_they_were(tmp_path):
    points = [{"curve/a": math.inf}, {"curve/b": 0.1}]
    checkpoint_manager = CheckpointManager(
        tmp_path, CheckpointRule(), data_digest="d", resumes=False
    )
    training_state = TrainingState(
        step=2, trainer=TrainerState(arrays={}, meta={}), points=points, is_over=False
    )
    assert checkpoint_manager.save(
        training_state, ModelSelector(Selection(weights="last"), is_private=True), is_last=False
    )
    assert (
        CheckpointManager(
            tmp_path, CheckpointRule(), data_digest="d", resumes=True
        ).training_state.points
        == points
    )
    assert json.dumps(points)


def test_resume_without_journal_is_refused_before_the_beats(tmp_path, monkeypatch):
    from ecgexp.config.compose import build_experiment, load_config
    from ecgexp.experiment.experiment import Experiment
    from ecgexp.experiment.run import run
    from ecgexp.settings.declaration import DataError

    monkeypatch.setattr(Experiment, "load_run_data", lambda *_: pytest.fail("the beats were read"))
    typed = [
        "trainer=dp",
        "privacy=dp",
        "privacy.noise_multiplier=1",
        "dataset=synthetic",
        "tracking=none",
    ]
    experiment = build_experiment(load_config(typed))
    with pytest.raises(DataError, match=r"privacy_journal\.jsonl is missing.*without resume="):
        run(experiment, tmp_path, resume=True)
    assert not (tmp_path / "run.json").exists()
