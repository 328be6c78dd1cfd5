"""DP-SGD (Abadi et al. 2016): each step is sampled, clipped, noised and recorded as planned."""

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from ecgexp.augmentation.base import Augmentation, views_by_label
from ecgexp.models.base import restart_dropout
from ecgexp.privacy import dp_events
from ecgexp.privacy.ledger import Ledger, PrivacyViolation
from ecgexp.privacy.noise_checks import NoiseStatistics
from ecgexp.privacy.plan import Privacy, PrivacyPlan, Unit
from ecgexp.privacy.unit_checks import Overlap
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError, Count, Rate, Whole, settings
from ecgexp.training.base import (
    EpochResult,
    OnProgress,
    TrainerState,
    TrainingData,
    assign_arrays,
    to_arrays,
)
from ecgexp.training.dp.units import Units, Views, units_of
from ecgexp.training.ledger_checks import check_budget_sufficed, check_drawn, check_plan
from ecgexp.training.loss import LossFn
from ecgexp.training.optimizer import OptimizerName, OptimizerSettings
from ecgexp.training.step_randomness import StepRandomness

if TYPE_CHECKING:
    import tensorflow as tf
    from dp_accounting import DpEvent


@settings
class DpSgd(OptimizerSettings):
    """DP-SGD on batches of the units of privacy, drawn as `privacy.sampling` says.

    Attributes:
      epochs: each has ceil(units / expected_batch_size) steps; a unit is expected about once in
        them.
      expected_batch_size: expected units in a step, and the constant divisor of its noised sum.
      physical_batch_size: beats clipped at once, each with its views; for records and patients,
        rows of a unit whose gradient is computed at once. Larger ones are accumulated, with the
        same result.
      augmentation_multiplicity: views of a beat averaged in its one clipped gradient (De et al.
        2022).
      clipping: method for single beats: `ghost` (book-keeping), or `vectorized` and `microbatch` as
        in TensorFlow Privacy, slower and equivalent. For records and patients it is not used: the
        gradient of each unit is computed and clipped separately.
      optimizer: `sgd`, whose step grows with the signal; Adam scales the step of each weight by an
        estimate of the second moment, which is mostly the variance of the noise here.
      learning_rate: for clipped gradients. For `sgd`, a thousandth of `expected_batch_size` works
        from 256 upwards, and a tenth of that for batches of 100, whose noise is larger; for Adam,
        about 0.001.

    Example:
      >>> sorted(DpSgd(epochs=10).privacy_units)
      ['beat', 'patient', 'record']
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
    learning_rate_setting: ClassVar[str] = "learning_rate"

    @property
    def num_steps(self) -> int:
        """Number of epochs."""
        return self.epochs

    def check_installed(self) -> None:
        """See `Trainer.check_installed`; every installation has what it needs."""

    def check_privacy(self, privacy: Privacy) -> None:
        """See `Trainer.check_privacy`; every setting is accepted."""

    def plan(self, privacy: Privacy, data: TrainingData) -> PrivacyPlan:
        """Return the plan of a run over the units of `data`."""
        return self.plan_of(privacy, len(units_of(data, privacy.unit)), data.overlap)

    def plan_of(
        self, privacy: Privacy, num_units: int, overlap: Overlap | None = None
    ) -> PrivacyPlan:
        """See `Trainer.plan_of`."""
        return privacy.plan(
            num_units=num_units,
            expected_batch_size=self.expected_batch_size,
            epochs=self.epochs,
            overlap=overlap,
        )

    def train(
        self,
        data: TrainingData,
        *,
        build_model: "Callable[[], tf.keras.Model]",
        loss: LossFn,
        augmentation: Augmentation,
        ledger: Ledger,
        seeds: Seeds,
        on_progress: OnProgress,
        resume_from: TrainerState | None = None,
    ) -> Iterator[EpochResult]:
        """See `Trainer.train`; yields once per epoch, and ends before the budget is exceeded.

        Raises:
          PrivacyViolation: the plan of the ledger is not that of this trainer and these data, or
            the executed steps are not those that were planned and recorded.
          ConfigError: the budget does not suffice for one step, or there is more than one device.
        """
        units = units_of(data, ledger.plan.unit)
        check_plan(
            ledger.plan,
            num_units=len(units),
            expected_batch_size=self.expected_batch_size,
            iterations=self.epochs * ledger.plan.steps_per_epoch,
        )
        run = _PrivateRun(self, data, units, build_model, loss, augmentation, ledger, seeds)
        first = run.restore(resume_from) + 1 if resume_from else 1
        for epoch in range(first, self.epochs + 1):
            did = run.epoch(epoch, on_progress, begun=run.begun if epoch == first else _NOTHING)
            if did.steps:
                yield run.epoch_result(epoch, did)
            if ledger.stopped_by_budget:
                break
        ledger.verify_complete(run.update.executed)
        check_budget_sufficed(ledger)


class _Epoch(NamedTuple):
    """The finished part of an epoch: steps, sampled units, and steps with a privacy event."""

    steps: int
    units: int
    recorded: int


_NOTHING = _Epoch(0, 0, 0)


class _PrivateRun:
    """The state of one training: model, units, sampler, noise."""

    def __init__(
        self,
        trainer: DpSgd,
        data: TrainingData,
        units: Units,
        build_model: "Callable[[], tf.keras.Model]",
        loss: LossFn,
        augmentation: Augmentation,
        ledger: Ledger,
        seeds: Seeds,
    ):
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
        self._noise_statistics, self.begun = NoiseStatistics(), _NOTHING
        self._multiplicity = trainer.augmentation_multiplicity
        rows, views = views_by_label(augmentation, data.labels[data.train], data.class_names)
        self._views = Views(data.train[rows], views, len(data.labels))
        self.model = build_model()
        self._optimizer = trainer.build_optimizer(self._plan.iterations)
        self._optimizer.build(self.model.trainable_variables)
        self.update = PrivateUpdate(self.model, self._optimizer)
        self._gradients = self._unit_gradients(trainer, data, loss, augmentation)

    def epoch(self, epoch: int, on_progress: OnProgress, *, begun: _Epoch) -> _Epoch:
        """Run the steps of one epoch, each recorded first, until the epoch or the budget ends.

        Args:
          epoch: 1-based.
          on_progress: called with the progress.
          begun: the part that is finished already.
        """
        plan, num_units, recorded = self._plan, begun.units, begun.recorded
        for step in range(begun.steps, plan.steps_per_epoch):
            if self._ledger.would_exceed(self._sampler.next_event):
                return _Epoch(step, num_units, recorded)
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
            num_units += len(draw.units)
            recorded += draw.event == plan.step_event
            done = _Epoch(step + 1, num_units, recorded)
            state = (
                None
                if _resumes_between_epochs_only(plan)
                else functools.partial(self.snapshot, epoch - 1, done)
            )
            on_progress(done=step + 1, total=plan.steps_per_epoch, metrics={}, state=state)
        return _Epoch(plan.steps_per_epoch, num_units, recorded)

    def epoch_result(self, epoch: int, did: _Epoch) -> EpochResult:
        """Return the result of an epoch, after the check that it is what was recorded.

        Raises:
          PrivacyViolation: the executed steps, clipped gradients or noise differ from the plan.
        """
        self._ledger.verify_complete(self.update.executed, stopped_early=True)
        tally, noise = self.update.take_tally(), self.update.take_noise_statistics()
        if tally.units != did.units:
            raise PrivacyViolation(
                f"{tally.units:.0f} gradients were clipped where {did.units} units were drawn: the "
                "run has no privacy guarantee"
            )
        self._noise_statistics += noise
        self._noise_statistics.check(self._plan.noise_std)
        # Otherwise the few values of a small model are checked together with the next epoch's.
        if self._noise_statistics.is_enough:
            self._noise_statistics = NoiseStatistics()
        measured = {"batch_size": did.units / did.steps} | noise.metrics(self._plan.noise_std)
        return EpochResult(
            step=epoch,
            weights=self.model.get_weights,
            train_metrics=tally.metrics() | measured,
            dp_event=self._event(did),
            checkpoint=lambda: self.snapshot(epoch),
        )

    def snapshot(self, epoch: int, begun: _Epoch | None = None) -> TrainerState:
        """Return weights, optimizer, positions of the streams and the ledger, for a checkpoint.

        It contains no key of noise, sampling or per-step randomness.

        Args:
          epoch: the last finished epoch.
          begun: the finished part of the next epoch.
        """
        meta = {
            "epoch": epoch,
            "begun": list(begun or _NOTHING),
            "executed": self.update.executed,
            "sampler": self._sampler.state(),
            "noise": self._noise.state(),
            "ledger": self._ledger.to_dict(),
        }
        seen = self.update.seen(with_noise=not self._plan.has_privacy_guarantee)
        return TrainerState(arrays=to_arrays(self.model, self._optimizer) | seen, meta=meta)

    def restore(self, state: TrainerState) -> int:
        """Restore all but the ledger, which the caller restored; return the last finished epoch.

        Raises:
          PrivacyViolation: the executed or sampled steps are not those that the ledger recorded.
        """
        assign_arrays(self.model, self._optimizer, state.arrays)
        self._sampler.restore(state.meta["sampler"])
        self._noise.restore(state.meta["noise"])
        self.update.restore(int(state.meta["executed"]), state.arrays)
        self.begun = _Epoch(*state.meta["begun"])
        self._ledger.verify_complete(self.update.executed, stopped_early=True)
        check_drawn(self._sampler.drawn, self._ledger)
        return int(state.meta["epoch"])

    def _event(self, did: _Epoch) -> "DpEvent":
        return (
            dp_events.repeated(self._plan.step_event, did.recorded)
            if did.recorded
            else dp_events.nothing()
        )

    def _unit_gradients(
        self, trainer: DpSgd, data: TrainingData, loss: LossFn, augmentation: Augmentation
    ) -> Any:
        from ecgexp.training.dp.unit_gradients import BeatGradients, GroupGradients

        shared: dict[str, Any] = {
            "loss": loss,
            "augmentation": augmentation,
            "l2_norm_clip": self._plan.l2_norm_clip,
            "views": self._multiplicity,
            "physical_batch_size": trainer.physical_batch_size,
        }
        if self._plan.unit == "beat":
            return BeatGradients(
                self.model,
                self.update,
                data,
                method=trainer.clipping,
                expected_batch_size=trainer.expected_batch_size,
                **shared,
            )
        return GroupGradients(self.model, self.update, data, **shared)


def _resumes_between_epochs_only(plan: PrivacyPlan) -> bool:
    """Return whether a resumed run cannot restore the order of an epoch.

    A simulation can, by its seed.
    """
    return plan.epoch_is_one_event and plan.has_privacy_guarantee


def _refuse_many_devices() -> None:
    import tensorflow as tf

    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas > 1:
        raise ConfigError(
            f"trainer=dp: it computes on one device, and {replicas} are available; set "
            "CUDA_VISIBLE_DEVICES=0, or use device=cpu."
        )
