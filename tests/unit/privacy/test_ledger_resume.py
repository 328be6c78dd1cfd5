"""Interruptions at any step, through the checkpoint manager, journal, ledger and sampler of a run:
all uses of a unit count.

Without TensorFlow: a unit's uses stand for its gradients. The loop is the one of `training.dp`,
step for step.
"""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgexp.privacy import accounting, dp_events
from ecgexp.privacy.sampling import Sampler
from ecgexp.privacy.settings import PrivacySpec
from ecgexp.settings.declaration import DataError
from ecgexp.tracking.local.checkpoint_folder import CHECKPOINTS
from ecgexp.training.base import TrainerState
from ecgexp.training.checkpointing.manager import (
    CheckpointManager,
    CheckpointRule,
    TrainingState,
    begin_journal,
)
from ecgexp.training.model_selection import ModelSelector, Selection

UNITS, BATCH, EPOCHS = 40, 10, 6
INTERRUPTIONS = st.lists(st.tuples(st.integers(0, 4 * EPOCHS + 2), st.booleans()), max_size=5)


class Killed(Exception):
    """The process ends here."""


class Run:
    """One run in a folder, over as many sessions as it takes.

    Attributes:
      begun: how often an epoch was begun, in all sessions.
      taken: steps that were taken, in all sessions.
      uses: (units,) how often each unit was used, in all sessions.
      ledger: of the last session.
    """

    def __init__(self, folder, *, every=1, epochs=EPOCHS, **spec):
        made = {"noise_multiplier": 1.0, "sampling": "shuffle", "delta": 1e-5} | spec
        self.plan = PrivacySpec(**made).plan(
            num_units=UNITS, expected_batch_size=BATCH, epochs=epochs
        )
        self.folder, self.epochs, self.rule = (
            Path(folder),
            epochs,
            CheckpointRule(every=every, keep=2),
        )
        self.begun, self.taken, self.uses, self.ledger = 0, 0, np.zeros(UNITS, int), None
        begin_journal(self.folder)

    def session(self, *, resumes, kill_after=None):
        """Resume from the newest checkpoint to the end, or to the step at which it is killed."""
        checkpoint_manager = CheckpointManager(
            self.folder, self.rule, data_digest="d", resumes=resumes
        )
        self.ledger = ledger = checkpoint_manager.ledger(self.plan, num_steps=self.epochs)
        sampler, model_selector, first = (
            Sampler(self.plan, np.random.default_rng(0)),
            self._chosen(),
            1,
        )
        if checkpoint_manager.training_state is not None:
            sampler.restore(checkpoint_manager.training_state.trainer.meta["sampler"])
            first = checkpoint_manager.training_state.step + 1
        done = 0
        for epoch in range(first, self.epochs + 1):
            for step in range(self.plan.steps_per_epoch):
                if ledger.would_exceed(sampler.next_event):
                    return
                ledger.record(sampler.next_event)
                self.begun += step == 0
                if done == kill_after:
                    raise Killed
                draw, done = sampler.draw(), done + 1
                self.uses[draw.units] += 1
                self.taken += 1
            meta = {"ledger": ledger.to_dict(), "sampler": sampler.state()}
            state = TrainerState(arrays={}, meta=json.loads(json.dumps(meta)))
            training_state = TrainingState(step=epoch, trainer=state, points=(), is_over=False)
            checkpoint_manager.save(training_state, model_selector, is_last=epoch == self.epochs)

    def interrupted(self, interruptions):
        """Runs with those interruptions (step of the session, whether the newest checkpoint is
        damaged by it).
        """
        for number, (kill_after, damages) in enumerate(interruptions):
            with suppress(Killed):
                self.session(resumes=number > 0, kill_after=kill_after)
            found = sorted((self.folder / CHECKPOINTS).glob("step-*"))
            if damages and len(found) > 1:
                found[-1].write_bytes(found[-1].read_bytes()[:-7])
        self.session(resumes=bool(interruptions))

    @property
    def events(self):
        """Recorded events that are not free."""
        free = dp_events.nothing()
        return sum(count for event, count in self.ledger._entries.values() if event != free)

    @staticmethod
    def _chosen():
        return ModelSelector(Selection(weights="last"), is_private=True)


@settings(max_examples=25)
@given(interruptions=INTERRUPTIONS, every=st.integers(1, 3))
def test_shuffle_interrupted_counts_each_epoch_begun_once(tmp_path_factory, interruptions, every):
    run = Run(tmp_path_factory.mktemp("run"), every=every)
    run.interrupted(interruptions)
    assert run.events == run.begun
    assert run.uses.max() <= run.events
    assert run.ledger.discarded_steps == run.begun - EPOCHS
    run.ledger.verify_complete(run.plan.iterations)


@settings(max_examples=15)
@given(interruptions=INTERRUPTIONS, every=st.integers(1, 3), affordable=st.integers(2, EPOCHS))
def test_shuffle_interrupted_within_a_budget_counts_exactly(
    tmp_path_factory, interruptions, every, affordable
):
    cap = (
        accounting.epsilon(dp_events.repeated(dp_events.gaussian(1.0), affordable), 1e-5, "rdp")
        * 1.0001
    )
    run = Run(tmp_path_factory.mktemp("run"), every=every, max_epsilon=cap, accountant="rdp")
    run.interrupted(interruptions)
    assert run.events == run.begun <= affordable
    assert run.uses.max() <= run.events
    assert run.ledger.epsilon_spent() <= cap


@settings(max_examples=15)
@given(
    interruptions=INTERRUPTIONS,
    every=st.integers(1, 3),
    sampling=st.sampled_from(["poisson", "fixed"]),
)
def test_steps_interrupted_are_never_undercounted(tmp_path_factory, interruptions, every, sampling):
    """An event is a step here, reserved an epoch at a time.

    At most an epoch too many for each interruption.
    """
    run = Run(tmp_path_factory.mktemp("run"), every=every, sampling=sampling, accountant="rdp")
    run.interrupted(interruptions)
    assert run.taken <= run.events <= run.taken + len(interruptions) * run.plan.steps_per_epoch
    run.ledger.verify_complete(run.plan.iterations)


def test_rounds_interrupted_count_each_round_begun_once(tmp_path):
    """The events of a round are one, and a round is what is lost: nothing is reserved ahead."""
    run = Run(tmp_path, sampling="poisson")
    checkpoint_manager = CheckpointManager(tmp_path, run.rule, data_digest="d", resumes=True)
    first = checkpoint_manager.ledger(run.plan, num_steps=run.plan.iterations)
    for _ in range(3):
        first.record(run.plan.step_event)
    assert checkpoint_manager.ledger(run.plan, num_steps=run.plan.iterations).discarded_steps == 3


def test_shuffle_crash_in_epoch_two_costs_one_epoch_more(tmp_path):
    """The numbers of an audit: it was recorded as 219 epochs, ε 23.8.

    An epoch was begun 21 times, ε 5.71.
    """
    spec = PrivacySpec(noise_multiplier=4.0, sampling="shuffle", delta=1e-7)
    plan = spec.plan(num_units=50_000, expected_batch_size=250, epochs=20)
    begin_journal(tmp_path)
    checkpoint_manager = CheckpointManager(
        tmp_path, CheckpointRule(), data_digest="d", resumes=True
    )
    first = checkpoint_manager.ledger(plan, num_steps=20)
    for step in range(plan.steps_per_epoch + 10):
        if step == plan.steps_per_epoch:
            state = TrainerState(arrays={}, meta={"ledger": first.to_dict()})
            model_selector = ModelSelector(Selection(weights="last"), is_private=True)
            checkpoint_manager.save(
                TrainingState(step=1, trainer=state, points=(), is_over=False),
                model_selector,
                is_last=False,
            )
        first.record(plan.event_at(step))
    resumed = CheckpointManager(tmp_path, CheckpointRule(), data_digest="d", resumes=True).ledger(
        plan, num_steps=20
    )
    for step in range(plan.steps_per_epoch, plan.iterations):
        resumed.record(plan.event_at(step))
    resumed.verify_complete(plan.iterations)
    assert resumed.discarded_steps == 1
    expected = accounting.epsilon(dp_events.repeated(dp_events.gaussian(4.0), 21), 1e-6)
    assert (
        accounting.epsilon(resumed.event, 1e-6)
        == pytest.approx(expected)
        == pytest.approx(5.71, abs=0.005)
    )


def test_run_resumed_without_its_journal_is_refused(tmp_path):
    """Also before its first checkpoint: the journal is there before the beats are."""
    run = Run(tmp_path)
    with pytest.raises(Killed):
        run.session(resumes=False, kill_after=2)
    (tmp_path / "privacy_journal.jsonl").unlink()
    with pytest.raises(DataError, match=r"privacy_journal\.jsonl is missing.*without resume="):
        run.session(resumes=True)


def test_checkpoint_without_a_ledger_is_refused(tmp_path):
    run = Run(tmp_path)
    checkpoint_manager = CheckpointManager(tmp_path, run.rule, data_digest="d", resumes=False)
    state = TrainerState(arrays={}, meta={})
    checkpoint_manager.save(
        TrainingState(step=1, trainer=state, points=(), is_over=False), run._chosen(), is_last=False
    )
    with pytest.raises(DataError, match=r"its ledger is damaged.*without resume="):
        CheckpointManager(tmp_path, run.rule, data_digest="d", resumes=True).ledger(
            run.plan, num_steps=EPOCHS
        )


def test_simulation_interrupted_repeats_itself_and_adds_nothing(tmp_path):
    run = Run(tmp_path, noise_seed=3)
    run.interrupted([(9, False), (6, True)])
    assert run.events == EPOCHS
    run.ledger.verify_complete(run.plan.iterations)
