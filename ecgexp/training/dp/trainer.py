"""DP-SGD (Abadi et al. 2016) on this machine: every step is drawn, clipped, noised and charged as one frozen plan says."""

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from ecgexp.augmentation.base import views_by_label
from ecgexp.models.base import restart_dropout
from ecgexp.privacy import accounting
from ecgexp.privacy.ledger import Ledger, PrivacyViolation
from ecgexp.privacy.noise_checks import NoiseStatistics
from ecgexp.privacy.plan import PrivacyPlan, PrivacySpec, Unit
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError, Count, Rate, Whole, settings
from ecgexp.training.base import EpochResult, OnProgress, TrainerState, TrainingData
from ecgexp.training.dp.units import Units, Views, units_of
from ecgexp.training.optimizer import OptimizerName, OptimizerSettings
from ecgexp.training.state import assign_arrays, to_arrays
from ecgexp.training.step_randomness import StepRandomness

if TYPE_CHECKING:
    from dp_accounting import DpEvent


@settings
class DpSgd(OptimizerSettings):
    """Noisy steps on Poisson samples of the units of privacy.

    Attributes:
      epochs: each has ceil(units / expected_batch_size) steps, in which a unit is expected about once.
      expected_batch_size: units in a step on average, and the constant divisor of its noised sum.
      physical_batch_size: rows clipped at once; a larger logical batch is accumulated, with the same result.
      augmentation_multiplicity: views of a beat averaged inside its one clipped gradient (De et al. 2022).
      clipping: of beats: `ghost` is book-keeping; `vectorized` and `microbatch` are TensorFlow Privacy's ways, slower and equal.
        The gradient of a record or patient is computed and clipped by itself, whatever stands here.
      optimizer: `sgd`, whose step grows with the signal; Adam scales each weight's step by what is mostly noise.
      learning_rate: of clipped gradients. For `sgd` a thousandth of `expected_batch_size` did well from 256 up, and batches of
        100, whose noise is larger, bore a tenth of that; Adam wants about 0.001.
    """

    epochs: Count = 20
    expected_batch_size: Count = 256
    physical_batch_size: Count = 512
    augmentation_multiplicity: Annotated[Whole, Field(ge=1, le=1024)] = 1
    clipping: Literal["ghost", "vectorized", "microbatch"] = "ghost"
    optimizer: OptimizerName = "sgd"
    learning_rate: Rate = 0.25

    step_name: ClassVar[str] = "epoch"
    privacy_units: ClassVar[frozenset[Unit]] = frozenset({"beat", "record", "patient"})
    needs_privacy: ClassVar[bool] = True
    needs_clients: ClassVar[bool] = False

    @property
    def num_steps(self) -> int:
        """Epochs."""
        return self.epochs

    def check_privacy(self, privacy: PrivacySpec) -> None:
        """See `Trainer.check_privacy`; every setting will do."""

    def plan(self, privacy: Any, data: TrainingData) -> PrivacyPlan:
        """The plan of a run over the units of `data`."""
        num_units = len(units_of(data, getattr(privacy, "unit", "beat")))
        overlap = {"overlap": data.overlap} if isinstance(privacy, PrivacySpec) else {}
        return privacy.plan(
            num_units=num_units, expected_batch_size=self.expected_batch_size, epochs=self.epochs, **overlap
        )  # fmt: skip

    def train(
        self, data: TrainingData, *, build_model: Callable[[], Any], loss: Any, augmentation: Any, ledger: Ledger, seeds: Seeds,
        on_progress: OnProgress, resume_from: TrainerState | None = None,
    ) -> Iterator[EpochResult]:  # fmt: skip
        """See `Trainer.train`; yields once per epoch, and ends before the step that would exceed the budget.

        Raises:
          PrivacyViolation: the ledger's plan is not that of this trainer and these data, or what ran is not what was planned
            and charged.
          ConfigError: the budget does not last for one step, or the device is more than one.
        """
        units = units_of(data, ledger.plan.unit)
        _check_plan(self, ledger.plan, units)
        run = _PrivateRun(self, data, units, build_model, loss, augmentation, ledger, seeds)
        first = run.restore(resume_from) + 1 if resume_from else 1
        for epoch in range(first, self.epochs + 1):
            did = run.epoch(epoch, on_progress, begun=run.begun if epoch == first else _NOTHING)
            if did.steps:
                yield run.epoch_result(epoch, did)
            if ledger.stopped_by_budget:
                break
        ledger.verify_complete(run.update.executed)
        if not ledger.steps:
            raise ConfigError(
                f"privacy.max_epsilon={ledger.plan.max_epsilon:g} is spent before the first step; type a larger one, or a larger "
                "privacy.noise_multiplier"
            )


class _Epoch(NamedTuple):
    """What one epoch did: its steps, the units that entered them, and the steps that were charged for."""

    steps: int
    units: int
    paid: int


_NOTHING = _Epoch(0, 0, 0)


class _PrivateRun:
    """The moving parts of one training: model, units, sampler, noise."""

    def __init__(
        self, trainer: DpSgd, data: TrainingData, units: Units, build_model: Callable[[], Any], loss: Any, augmentation: Any,
        ledger: Ledger, seeds: Seeds,
    ):  # fmt: skip
        from ecgexp.privacy.noise import NoiseSource
        from ecgexp.privacy.sampling import Sampler
        from ecgexp.training.dp.private_step import PrivateUpdate

        _refuse_many_devices()
        self._ledger, self._plan, self._units = ledger, ledger.plan, units
        self._sampler = Sampler(self._plan, seeds.generator("sampling"))
        self._noise, self._step_randomness = (
            NoiseSource.of(self._plan),
            StepRandomness(self._plan, seeds),
        )
        self._noise_record, self.begun = NoiseStatistics(), _NOTHING
        self._multiplicity = trainer.augmentation_multiplicity
        rows, views = views_by_label(augmentation, data.labels[data.train], data.class_names)
        self._views = Views(data.train[rows], views, len(data.labels))
        self.model = build_model()
        self._optimizer = trainer.build_optimizer(self._plan.iterations)
        self._optimizer.build(self.model.trainable_variables)
        self.update = PrivateUpdate(self.model, self._optimizer)
        self._gradients = self._unit_gradients(trainer, data, loss, augmentation)

    def epoch(self, epoch: int, on_progress: OnProgress, *, begun: _Epoch) -> _Epoch:
        """Runs the steps of one epoch, each charged before it runs, until its end or the budget's.

        Args:
          epoch: 1-based.
          on_progress: told about progress.
          begun: what is done of it already.
        """
        plan, num_units, paid = self._plan, begun.units, begun.paid
        for step in range(begun.steps, plan.steps_per_epoch):
            if self._ledger.would_exceed(self._sampler.next_event):
                return _Epoch(step, num_units, paid)
            self._ledger.record(self._sampler.next_event)
            draw = self._sampler.draw()
            restart_dropout(self.model, self._step_randomness.of_dropout(self._ledger.steps - 1))
            step_randomness = self._step_randomness.of_step(self._ledger.steps - 1)
            drawn = self._units.take(draw.units)
            self._gradients.accumulate(
                drawn,
                self._views.draw(drawn.rows, self._multiplicity, step_randomness),
                step_randomness,
            )
            self.update.apply(
                self._noise.normal(self.update.num_parameters, plan.noise_std), plan.divisor
            )
            num_units, paid = num_units + len(draw.units), paid + (draw.event == plan.step_event)
            done = _Epoch(step + 1, num_units, paid)
            state = (
                None
                if _resumes_between_epochs_only(plan)
                else functools.partial(self.snapshot, epoch - 1, done)
            )
            on_progress(done=step + 1, total=plan.steps_per_epoch, metrics={}, state=state)
        return _Epoch(plan.steps_per_epoch, num_units, paid)

    def epoch_result(self, epoch: int, did: _Epoch) -> EpochResult:
        """What the caller is told about an epoch, after the proof that it was what was charged.

        Raises:
          PrivacyViolation: it was not.
        """
        self._ledger.verify_complete(self.update.executed, stopped_early=True)
        tally, noise = self.update.take_tally(), self.update.take_noise_record()
        if tally.units != did.units:
            raise PrivacyViolation(
                f"{tally.units:.0f} gradients were clipped where {did.units} units were drawn: the run makes no claim"
            )
        self._noise_record += noise
        self._noise_record.check(self._plan.noise_std)
        if self._noise_record.is_enough:  # else a small model's is judged with the next epoch's
            self._noise_record = NoiseStatistics()
        measured = {"batch_size": did.units / did.steps} | noise.metrics(self._plan.noise_std)
        return EpochResult(
            step=epoch, weights=self.model.get_weights, train_metrics=tally.metrics() | measured, dp_event=self._event(did),
            checkpoint=lambda: self.snapshot(epoch),
        )  # fmt: skip

    def snapshot(self, epoch: int, begun: _Epoch | None = None) -> TrainerState:
        """Weights, optimizer, positions of the streams and the bill, after `epoch` and a part of the next.

        No key of noise, samples or coins is in it.
        """
        meta = {
            "epoch": epoch, "begun": list(begun or _NOTHING), "executed": self.update.executed, "sampler": self._sampler.state(),
            "noise": self._noise.state(), "ledger": self._ledger.to_dict(),
        }  # fmt: skip
        seen = self.update.seen(with_noise=not self._plan.has_privacy_guarantee)
        return TrainerState(arrays=to_arrays(self.model, self._optimizer) | seen, meta=meta)

    def restore(self, state: TrainerState) -> int:
        """Puts everything back but the ledger, which the caller restored; returns the last finished epoch."""
        assign_arrays(self.model, self._optimizer, state.arrays)
        self._sampler.restore(state.meta["sampler"])
        self._noise.restore(state.meta["noise"])
        self.update.restore(int(state.meta["executed"]), state.arrays)
        self.begun = _Epoch(*state.meta["begun"])
        self._ledger.verify_complete(self.update.executed, stopped_early=True)
        if self._sampler.drawn != self._ledger.steps:
            raise PrivacyViolation(
                f"{self._sampler.drawn} steps were drawn, but {self._ledger.steps} were charged: the run makes no claim"
            )
        return int(state.meta["epoch"])

    def _event(self, did: _Epoch) -> "DpEvent":
        return (
            accounting.repeated(self._plan.step_event, did.paid)
            if did.paid
            else accounting.nothing()
        )

    def _unit_gradients(
        self, trainer: DpSgd, data: TrainingData, loss: Any, augmentation: Any
    ) -> Any:
        from ecgexp.training.dp.unit_gradients import BeatGradients, GroupGradients

        shared: dict[str, Any] = {
            "loss": loss, "augmentation": augmentation, "l2_norm_clip": self._plan.l2_norm_clip, "views": self._multiplicity,
            "physical_batch_size": trainer.physical_batch_size,
        }  # fmt: skip
        if self._plan.unit == "beat":
            return BeatGradients(self.model, self.update, data, method=trainer.clipping, **shared)
        return GroupGradients(self.model, self.update, data, **shared)


def _resumes_between_epochs_only(plan: PrivacyPlan) -> bool:
    """Whether the order of an epoch is gone when the run resumes; a simulation finds it again by its seed."""
    return plan.epoch_is_one_event and plan.has_privacy_guarantee


def _check_plan(trainer: DpSgd, plan: PrivacyPlan, units: Units) -> None:
    """A ledger prices the plan it was made with; another trainer or other data would be priced as these."""
    planned = (plan.num_units, plan.expected_batch_size, plan.iterations)
    actual = (len(units), trainer.expected_batch_size, trainer.epochs * plan.steps_per_epoch)
    names = ("units", "expected_batch_size", "steps")
    differ = [
        f"{n} {a} instead of {p}" for n, p, a in zip(names, planned, actual, strict=True) if p != a
    ]
    if differ:
        raise PrivacyViolation(
            f"this training is not the one that was planned ({', '.join(differ)}); make a new plan for it"
        )


def _refuse_many_devices() -> None:
    import tensorflow as tf

    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas > 1:
        raise ConfigError(
            f"trainer=dp computes on one device and device gives it {replicas}; set CUDA_VISIBLE_DEVICES=0 or device=cpu"
        )
