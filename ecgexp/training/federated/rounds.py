"""The rounds of one federated training: sampled, recorded, executed and checked."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from ecgexp.augmentation.base import Augmentation
from ecgexp.clipping.callables import check_activations, check_augmentation, check_loss
from ecgexp.clipping.checks import check_noise_layers
from ecgexp.clipping.unknown_layers import check_unknown_layer, unknown_layers
from ecgexp.privacy.ledger import Ledger, PrivacyViolation
from ecgexp.privacy.noise import NoiseSource
from ecgexp.privacy.noise_checks import NoiseStatistics
from ecgexp.privacy.sampling import Sampler
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError
from ecgexp.training.base import EpochResult, OnProgress, TrainerState, TrainingData
from ecgexp.training.federated import dp_query
from ecgexp.training.federated.aggregators import bytes_down, bytes_up, scalar_metrics
from ecgexp.training.federated.batches import ClientBatches
from ecgexp.training.federated.client_model import COUNTS
from ecgexp.training.federated.cohort import Cohort, Participation, drop_out
from ecgexp.training.federated.compiled_round import compile_round
from ecgexp.training.federated.runtimes.graphs import as_data, as_leaf, flatten, pack
from ecgexp.training.federated.settings import FederatedSettings
from ecgexp.training.ledger_checks import check_budget_sufficed, check_drawn, check_plan
from ecgexp.training.loss import LossFn
from ecgexp.training.step_randomness import StepRandomness

_TOLERANT = ("robust", "secure")  # these aggregators replace updates that are not finite by zero


class Rounds:
    """The state of one federated training: clients, sampler, noise and the server's state.

    Args:
      settings: of the trainer.
      data: the beats, and the rows of each client.
      build_model: see `Trainer.train`.
      loss: see `Trainer.train`.
      augmentation: see `Trainer.train`.
      ledger: the ledger of the run's plan.
      seeds: the random streams of the run.

    Raises:
      PrivacyViolation: the plan of the ledger is not that of this trainer and these data.
      ConfigError: the model has batch normalization, or, under privacy, a layer, activation, loss
        or augmentation that breaks the privacy guarantee.
    """

    def __init__(
        self,
        settings: FederatedSettings,
        data: TrainingData,
        build_model: "Callable[[], tf.keras.Model]",
        loss: LossFn,
        augmentation: Augmentation,
        ledger: Ledger,
        seeds: Seeds,
    ):
        self._settings, self._ledger, self._plan, self._step_randomness = (
            settings,
            ledger,
            ledger.plan,
            StepRandomness(ledger.plan, seeds),
        )
        self._client_ids = tuple(sorted(data.clients))
        check_plan(
            ledger.plan,
            num_units=len(self._client_ids),
            expected_batch_size=settings.clients_per_round or len(self._client_ids),
            iterations=settings.num_rounds,
        )
        self._batches = ClientBatches(
            data,
            augmentation,
            self._client_ids,
            client_epochs=settings.client_epochs,
            batch_size=settings.client_batch_size,
            seeds=seeds,
        )
        self._sampler = Sampler(self._plan, seeds.generator("sampling"))
        model = build_model()
        _check_model(model)
        if self._is_private:
            check_noise_layers(model)
            for layer in unknown_layers(model):
                check_unknown_layer(layer)
            check_activations(model)
            check_loss(loss, tf.zeros([2], tf.int32), tf.zeros([2, *model.output_shape[1:]]))
            check_augmentation(augmentation.build(), data.features)
        self._shapes = [tuple(variable.shape) for variable in model.trainable_variables]
        self._mechanism = None
        if self._is_private:
            self._mechanism = dp_query.mechanism_of(settings, self._plan)
            self._noise, self._noise_statistics = NoiseSource.of(self._plan), NoiseStatistics()
            self._last_noise: list[np.ndarray] = []
        self._runtime, self._state_type = compile_round(
            settings,
            build_model,
            loss,
            augmentation,
            spec=self._batches.spec,
            num_clients=len(self._client_ids),
            mechanism=self._mechanism,
            shapes=self._shapes,
        )
        self._state = self._runtime.initialize(model.get_weights())

    @property
    def _is_private(self) -> bool:
        """Whether updates are clipped; the noise may be zero, and then there is no guarantee."""
        return self._plan.l2_norm_clip != float("inf")

    def run(
        self, on_progress: OnProgress, resume_from: TrainerState | None
    ) -> Iterator[EpochResult]:
        """Run the rounds; see `Trainer.train`.

        Args:
          on_progress: called after each round.
          resume_from: the state to resume from; None begins with the first round.

        Yields:
          The result of each round.

        Raises:
          ConfigError: the budget does not suffice for one round, or a round had too few usable
            updates.
          PrivacyViolation: the executed rounds are not those that were planned and recorded.
        """
        first = self._restore(resume_from) + 1 if resume_from else 1
        for round_num in range(first, self._settings.num_rounds + 1):
            if self._is_private:
                if self._ledger.would_exceed(self._sampler.next_event):
                    break
                self._ledger.record(self._sampler.next_event)
            draw = self._sampler.draw()
            cohort = drop_out(
                draw.units,
                self._settings.client_dropout,
                client_ids=self._client_ids,
                step_randomness=self._step_randomness,
                round_num=round_num,
            )
            metrics = self._round(round_num, cohort)
            on_progress(
                done=1,
                total=1,
                metrics={name: metrics[name] for name in ("loss", "accuracy") if name in metrics},
            )
            state = self._state
            yield EpochResult(
                step=round_num,
                weights=lambda state=state: self._runtime.weights(state),
                train_metrics=metrics,
                dp_event=draw.event if self._is_private else None,
                checkpoint=lambda n=round_num: self._snapshot(n),
            )
        if self._is_private:
            self._ledger.verify_complete(self._executed)
            check_budget_sufficed(self._ledger)

    def close(self) -> None:
        """Close the runtime."""
        self._runtime.close()

    def _round(self, round_num: int, cohort: Cohort) -> dict[str, float]:
        datasets = [
            self._batches.dataset(self._client_ids[number], round_num) for number in cohort.present
        ]
        if not self._is_private and not datasets:  # TFF would divide by a total weight of zero
            empty = np.zeros(len(self._client_ids))
            took_part = Participation(cohort=cohort, examples=empty, correct=empty, loss=empty)
            took_part.check(self._settings, self._client_ids, round_num, tolerates_non_finite=True)
            return took_part.metrics() | self._traffic(cohort)
        state, planned_std, products = self._state, 0.0, 0.0
        if self._is_private:
            planned_std = self._planned_std()
            unit = self._noise.normal_like([*self._shapes, ()], 1.0)
            state = dp_query.with_noise(state, unit[:-1], float(unit[-1]))
            products = sum(
                float(np.vdot(now.astype(np.float64), before))
                for now, before in zip(unit, self._last_noise, strict=False)
            )
            self._last_noise = unit
        self._state, measured = self._runtime.next(state, datasets)
        sums = measured["client_work"]["train"]
        took_part = Participation(
            cohort=cohort, **{name: np.asarray(sums[name]) for name in COUNTS}
        )
        tolerant = self._is_private or self._settings.aggregator in _TOLERANT
        took_part.check(self._settings, self._client_ids, round_num, tolerates_non_finite=tolerant)
        metrics = (
            took_part.metrics()
            | self._traffic(cohort)
            | dict(scalar_metrics(measured["aggregator"], "aggregator"))
        )
        return metrics | (self._check_noise(planned_std, products) if self._is_private else {})

    def _traffic(self, cohort: Cohort) -> dict[str, float]:
        return {
            "bytes_down": float(len(cohort.sampled) * bytes_down(self._settings, self._shapes)),
            "bytes_up": float(len(cohort.present) * bytes_up(self._settings, self._shapes)),
        }

    @property
    def _executed(self) -> int:
        """Rounds whose sum was noised, counted in the graph where the noise is added."""
        return int(dp_query.query_state(self._state)["executed"])

    @property
    def _num_parameters(self) -> int:
        return sum(int(np.prod(shape)) for shape in self._shapes)

    def _planned_std(self) -> float:
        """Return the standard deviation of the noise on the sum of the next round's updates.

        It is the plan's; with an adaptive clip it scales with the current clip.
        """
        mechanism = self._mechanism
        if mechanism is None or self._settings.clipping == "fixed":
            return self._plan.noise_std
        return mechanism.noise_multiplier * float(dp_query.query_state(self._state)["clip"])

    def _check_noise(self, planned_std: float, products: float) -> dict[str, float]:
        """Check that the noised rounds are those recorded, and their noise the one planned.

        Args:
          planned_std: standard deviation of the round's noise.
          products: sum of the products of its unit values with those of the previous round, which
            shows whether noise was used twice; 0 in the first round.

        Returns:
          The metrics of the round's noise.

        Raises:
          PrivacyViolation: the number of rounds, or the strength or independence of the noise, is
            not as planned.
        """
        self._ledger.verify_complete(self._executed, stopped_early=True)
        query = dp_query.query_state(self._state)
        added = NoiseStatistics(values=self._num_parameters, squares=float(query["squares"]))
        # In units of the planned noise, since an adaptive clip changes its scale in every round.
        if planned_std:
            self._noise_statistics += NoiseStatistics(
                values=added.values,
                squares=added.squares / planned_std**2,
                pairs=added.values if products else 0,
                products=products,
            )
            self._noise_statistics.check(1.0)
            # Otherwise the few values of a small model are checked together with the next round's.
            if self._noise_statistics.is_enough:
                self._noise_statistics = NoiseStatistics()
        elif added.squares:
            raise PrivacyViolation(
                "noise was added, but the plan has none: the run is not the one that was planned"
            )
        return added.metrics(planned_std) | {"l2_norm_clip": float(query["clip"])}

    def _snapshot(self, round_num: int) -> TrainerState:
        """Return the server's state, the positions of the streams and the ledger.

        It contains no noise, and no key of any stream.
        """
        arrays = {f"state/{i}": as_data(leaf) for i, leaf in enumerate(flatten(self._state))}
        meta = {"round": round_num, "sampler": self._sampler.state()}
        if self._is_private:
            meta |= {"noise": self._noise.state(), "ledger": self._ledger.to_dict()}
        return TrainerState(arrays=arrays, meta=meta)

    def _restore(self, state: TrainerState) -> int:
        """Restore all but the ledger, which the caller restored; return the last finished round.

        Raises:
          ValueError: the arrays of the checkpoint are not those of this model, algorithm or
            aggregator.
          PrivacyViolation: the executed or sampled rounds are not those that the ledger recorded.
        """
        leaves = [as_leaf(state.arrays[f"state/{i}"]) for i in range(len(state.arrays))]
        if [np.shape(leaf) for leaf in leaves] != [np.shape(leaf) for leaf in flatten(self._state)]:
            raise ValueError(
                "the checkpoint is of another model, algorithm or aggregator: the arrays of its "
                "state differ; resume with the settings of the run that wrote it, or start a new "
                "run, without resume=."
            )
        self._state = pack(leaves, self._state_type)
        self._sampler.restore(state.meta["sampler"])
        if self._is_private:
            self._noise.restore(state.meta["noise"])
            self._ledger.verify_complete(self._executed, stopped_early=True)
            check_drawn(self._sampler.drawn, self._ledger)
        return int(state.meta["round"])


def _check_model(model: Any) -> None:
    if (
        any("BatchNormalization" in type(layer).__name__ for layer in model.layers)
        or model.non_trainable_variables
    ):
        raise ConfigError(
            "model.normalization=batch: it keeps moving statistics or other weights that are not "
            "trained, which federated averaging never updates; use model.normalization=group."
        )
