"""DP-SGD (Abadi et al. 2016) on this machine: every step is drawn, clipped, noised and charged as one frozen plan says."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from ecgexp._validate import ConfigError, Count, settings
from ecgexp.models.base import restart_dropout
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.plan import PrivacyPlan
from ecgexp.seeding import Seeds
from ecgexp.training.base import Progress, StepReporter, TrainerState, TrainingData
from ecgexp.training.optimizer import OptimizerSettings
from ecgexp.training.units import Units, Views, units_of


@settings
class DpSgd(OptimizerSettings):
    """Noisy steps on Poisson samples of the units of privacy.

    Attributes:
      epochs: each has ceil(units / expected_batch_size) steps, in which a unit is expected about once.
      expected_batch_size: units in a step on average, and the constant divisor of its noised sum.
      physical_batch_size: rows clipped at once; a larger logical batch is accumulated, with the same result.
      augmentation_multiplicity: views of a beat averaged inside its one clipped gradient (De et al. 2022).
      clipping: `ghost` is book-keeping; `vectorized` and `microbatch` are TensorFlow Privacy's ways, slower and equal.
    """

    epochs: Count = 20
    expected_batch_size: Count = 256
    physical_batch_size: Count = 512
    augmentation_multiplicity: Count = 1
    clipping: Literal["ghost", "vectorized", "microbatch"] = "ghost"

    is_private = True

    @property
    def num_steps(self) -> int:
        """Epochs."""
        return self.epochs

    def plan(self, privacy: Any, data: TrainingData) -> PrivacyPlan:
        """The plan of a run over the units of `data`."""
        num_units = len(units_of(data, getattr(privacy, "unit", "beat")))
        return privacy.plan(num_units=num_units, expected_batch_size=self.expected_batch_size, epochs=self.epochs)

    def train(
        self, data: TrainingData, *, build_model: Callable[[], Any], loss: Any, augmentation: Any, ledger: Ledger, seeds: Seeds,
        report: StepReporter, resume_from: TrainerState | None = None,
    ) -> Iterator[Progress]:  # fmt: skip
        """See `Trainer.train`; yields once per epoch, and ends before the step that would exceed the budget."""
        run = _PrivateRun(self, data, build_model, loss, augmentation, ledger, seeds)
        first = run.restore(resume_from) + 1 if resume_from else 1
        for epoch in range(first, self.epochs + 1):
            restart_dropout(run.model, seeds.integer(f"dropout/{epoch}"))
            steps = run.epoch(epoch, report)
            if steps:
                ledger.verify_complete(run.update.executed, stopped_early=True)
                yield run.progress(epoch, steps)
            if ledger.stopped_by_budget:
                break
        ledger.verify_complete(run.update.executed)


class _PrivateRun:
    """The moving parts of one training: model, units, sampler, noise."""

    def __init__(
        self,
        trainer: DpSgd,
        data: TrainingData,
        build_model: Callable[[], Any],
        loss: Any,
        augmentation: Any,
        ledger: Ledger,
        seeds: Seeds,
    ):
        from ecgexp.privacy.noise import NoiseSource
        from ecgexp.privacy.sampling import Sampler
        from ecgexp.training.private_step import PrivateUpdate

        _refuse_many_devices()
        plan = ledger.plan
        self._ledger, self._plan, self._data = ledger, plan, data
        self._units: Units = units_of(data, plan.unit)
        self._sampler = Sampler(plan, seeds.generator("sampling"))
        self._noise = NoiseSource.of(plan)
        self._multiplicity = trainer.augmentation_multiplicity
        rows, views = augmentation.expand(data.labels[data.train], data.class_names)
        self._views = Views(data.train[rows], views, len(data.labels))
        self._view_rng = seeds.generator("views")
        self.model = build_model()
        self._optimizer = trainer.build_optimizer(plan.iterations)
        self._optimizer.build(self.model.trainable_variables)
        self.update = PrivateUpdate(self.model, self._optimizer)
        self._gradients = self._per_unit_gradients(trainer, loss, augmentation, seeds)

    def epoch(self, epoch: int, report: StepReporter) -> int:
        """Runs the steps of one epoch, each charged before it runs; returns how many ran."""
        total, plan, num_parameters = self._plan.steps_per_epoch, self._plan, self.update.num_parameters
        for step in range(total):
            draw = self._sampler.draw()
            if self._ledger.would_exceed(draw.event):
                return step
            self._ledger.charge(draw.event)
            units = [self._units.rows[i] for i in draw.units]
            drawn = np.concatenate(units) if units else np.zeros(0, np.int64)
            views = self._views.draw(drawn, self._multiplicity, self._view_rng)
            self._gradients.accumulate(units, views, self._ledger.steps)
            self.update.apply(self._noise.normal(num_parameters, plan.noise_std), plan.divisor)
            report(done=step + 1, total=total, metrics={"epoch": epoch})
        return total

    def progress(self, epoch: int, steps: int) -> Progress:
        """What the caller is told about an epoch of `steps` steps."""
        return Progress(
            step=epoch, weights=self.model.get_weights, train_metrics=self.update.take_tally().metrics(), dp_event=self._plan.step_event,
            checkpoint=lambda: self.snapshot(epoch),
        )  # fmt: skip

    def snapshot(self, epoch: int) -> TrainerState:
        """Weights, optimizer, positions of the streams and the bill; no key of noise or samples."""
        arrays = {f"model/{i}": value for i, value in enumerate(self.model.get_weights())}
        arrays |= {f"optimizer/{i}": variable.numpy() for i, variable in enumerate(self._optimizer.variables)}
        meta = {
            "epoch": epoch, "executed": self.update.executed, "sampler": self._sampler.state(), "noise": self._noise.state(),
            "views": self._view_rng.bit_generator.state, "ledger": self._ledger.to_dict(),
        }  # fmt: skip
        return TrainerState(arrays=arrays, meta=meta)

    def restore(self, state: TrainerState) -> int:
        """Puts everything back but the ledger, which the caller restored; returns the last finished epoch."""
        self.model.set_weights([state.arrays[f"model/{i}"] for i in range(len(self.model.weights))])
        for i, variable in enumerate(self._optimizer.variables):
            variable.assign(state.arrays[f"optimizer/{i}"])
        self._sampler.restore(state.meta["sampler"])
        self._noise.restore(state.meta["noise"])
        self._view_rng.bit_generator.state = state.meta["views"]
        self.update.executed = int(state.meta["executed"])
        return int(state.meta["epoch"])

    def _per_unit_gradients(self, trainer: DpSgd, loss: Any, augmentation: Any, seeds: Seeds) -> Any:
        from ecgexp.training.private_step import BeatGradients, GroupGradients

        shared: dict[str, Any] = {
            "loss": loss, "augment": augmentation.build(), "l2_norm_clip": self._plan.l2_norm_clip, "views": trainer.augmentation_multiplicity,
            "physical_batch_size": trainer.physical_batch_size, "augmentation_seed": seeds.integer("augmentation"),
        }  # fmt: skip
        if self._plan.unit == "beat":
            return BeatGradients(self.model, self.update, self._data, method=trainer.clipping, **shared)
        return GroupGradients(self.model, self.update, self._data, **shared)


def _refuse_many_devices() -> None:
    import tensorflow as tf

    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas > 1:
        raise ConfigError(
            f"trainer=dp computes on one device and device gives it {replicas}; set CUDA_VISIBLE_DEVICES=0 or device=cpu"
        )
