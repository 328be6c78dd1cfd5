"""The contract of trainers: one class of tests, inherited by each trainer's test class."""

import dataclasses
import json
import tempfile
from abc import ABC, abstractmethod
from collections import Counter

import clients
import numpy as np
import pytest
from toy import CLASSES, build_toy_model, toy_data

from ecgexp.augmentation import NoAugmentation
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.settings import NotPrivate, PrivacySpec
from ecgexp.seeding import Seeds
from ecgexp.training.base import EpochResult, Trainer, TrainerState, TrainingData
from ecgexp.training.centralized import Centralized
from ecgexp.training.dp.trainer import DpSgd
from ecgexp.training.federated.trainer import Federated
from ecgexp.training.loss import CrossEntropy

STEPS = 3
NO_CLASS = 99  # a label that no loss accepts


class TrainerContract(ABC):
    """Contract of a trainer; whatever is slow runs once for the class.

    Rows outside of the training set are NaN, and have a label that no class has.
    """

    privacy = NotPrivate()

    @abstractmethod
    def make(self) -> Trainer: ...

    def data(self) -> TrainingData:
        return toy_data()

    def build_model(self):
        return build_toy_model()

    def begin(self, *, resume_from=None, on_progress=lambda **_: None):
        trainer, data = self.make(), self.data()
        labels = data.labels.copy()
        labels[np.setdiff1d(np.arange(len(labels)), data.train)] = NO_CLASS
        data = dataclasses.replace(data, labels=labels)
        plan = trainer.plan(self.privacy, data)
        ledger = Ledger(plan)
        if resume_from is not None and plan.is_private:
            ledger = Ledger.from_dict(plan, resume_from.meta["ledger"])
        return trainer.train(
            data,
            build_model=self.build_model,
            loss=CrossEntropy().build(np.ones(len(CLASSES))),
            augmentation=NoAugmentation(),
            ledger=ledger,
            seeds=Seeds(0),
            on_progress=on_progress,
            resume_from=resume_from,
        )

    @pytest.fixture(scope="class")
    @classmethod
    def progress(cls):
        """The calls of `on_progress` in the whole training.

        (results before it, done, total, metrics).
        """
        return []

    @pytest.fixture(scope="class")
    @classmethod
    def whole(cls, progress):
        """(result, weights, state) of each step of a whole training."""
        taken = []

        def note(*, done, total, metrics, state=None):
            progress.append((len(taken), done, total, dict(metrics)))

        for each in cls().begin(on_progress=note):
            taken.append((each, each.weights(), each.checkpoint()))
        return taken

    def test_it_yields_one_result_a_step_with_its_number(self, whole):
        assert self.make().num_steps == STEPS
        assert self.make().step_name in ("epoch", "round")
        assert all(isinstance(result, EpochResult) for result, _, _ in whole)
        assert [result.step for result, _, _ in whole] == list(range(1, STEPS + 1))

    def test_losses_and_weights_are_finite_numbers(self, whole):
        """Rows outside of the training set would make them no numbers."""
        for result, weights, _ in whole:
            assert np.isfinite(result.train_metrics["loss"])
            assert all(isinstance(value, int | float) for value in result.train_metrics.values())
            assert all(np.isfinite(part).all() for part in weights)

    def test_every_step_moves_the_weights(self, whole):
        before = self.build_model().get_weights()
        for _, weights, _ in whole:
            assert not all(np.array_equal(a, b) for a, b in zip(before, weights, strict=True))
            before = weights

    def test_a_state_resumes_to_the_same_bits(self, whole):
        """With a state that went through JSON, as a checkpoint's does."""
        state = whole[0][2]
        state = TrainerState(
            arrays={name: np.array(array) for name, array in state.arrays.items()},
            meta=json.loads(json.dumps(state.meta)),
        )
        rest = [(each, each.weights()) for each in self.begin(resume_from=state)]
        assert [result.step for result, _ in rest] == list(range(2, STEPS + 1))
        for (result, weights), (expected, kept, _) in zip(rest, whole[1:], strict=True):
            assert result.train_metrics == expected.train_metrics
            assert all(np.array_equal(a, b) for a, b in zip(weights, kept, strict=True))

    def test_progress_is_reported_until_each_step_is_whole(self, whole, progress):
        calls = Counter(before for before, _, _, _ in progress)
        assert sorted(calls) == list(range(STEPS))
        for step in range(STEPS):
            done, totals = zip(
                *[(done, total) for before, done, total, _ in progress if before == step],
                strict=True,
            )
            assert list(done) == sorted(set(done))
            assert set(totals) == {done[-1]}

    def test_steps_have_an_event_if_the_run_is_private(self, whole):
        is_private = not isinstance(self.privacy, NotPrivate)
        assert [result.dp_event is not None for result, _, _ in whole] == [is_private] * STEPS

    def test_closing_ends_it_and_leaves_no_file(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        training = self.begin()
        assert next(training).step == 1
        training.close()
        assert next(training, None) is None
        assert list(tmp_path.iterdir()) == []


class TestCentralized(TrainerContract):
    def make(self):
        return Centralized(epochs=STEPS, batch_size=32)


class TestDp(TrainerContract):
    privacy = PrivacySpec(noise_multiplier=1.0, noise_seed=3)

    def make(self):
        return DpSgd(epochs=STEPS, expected_batch_size=35)


class TestFederated(TrainerContract):
    def make(self):
        return Federated(num_rounds=STEPS, client_batch_size=16, client_learning_rate=0.1)

    def data(self):
        return clients.client_data()

    def build_model(self):
        return clients.build()


class TestPrivateFederated(TestFederated):
    privacy = clients.patient(1.0, noise_seed=3)
