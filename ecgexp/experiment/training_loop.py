"""The model of one run: trained step by step, judged, and handed over."""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgexp.console import Console, StepBar
from ecgexp.evaluation.clients import spread
from ecgexp.evaluation.evaluator import Evaluation, evaluate
from ecgexp.evaluation.metrics import quick_scores
from ecgexp.evaluation.missing import absent_classes, participation_notes, selection_notes
from ecgexp.experiment import artifacts
from ecgexp.experiment.class_coverage import Notes, check_evidence
from ecgexp.experiment.clients import client_scores
from ecgexp.experiment.data import RunData
from ecgexp.features.inputs import feature_shapes
from ecgexp.models.classifier import Classifier
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.statement import PrivacyStatement, state
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.tracking.base import Tracker
from ecgexp.training.base import EpochResult, OnProgress, TrainerState
from ecgexp.training.checkpointing.manager import CheckpointManager, LearningCurve, TrainingState
from ecgexp.training.model_selection import ModelSelector

if TYPE_CHECKING:
    from ecgexp.training.centralized import Centralized
    from ecgexp.training.retraining import Retraining


class TrainingLoop:
    """Trains what an experiment describes on prepared beats, whatever the trainer is.

    Args:
      experiment: an `ecgexp.experiment.experiment.Experiment`.
      prepared: the beats, checked for leaks.
      seeds: the run's random streams.
      keeper: writes down how far the training is, and knows where it went on from; None: nothing is written.

    Attributes:
      ledger: of the trainer's plan.
      history: `train/<metric>` and `validation/<metric>` -> one value an epoch or round, NaN where none was measured.
      num_parameters: numbers that are trained.
      probabilities: `(weights, rows (n,)) -> (n, num_classes)` of the run's model.
    """

    def __init__(
        self,
        experiment: Any,
        run_data: RunData,
        seeds: Seeds,
        checkpoint_manager: CheckpointManager | None = None,
    ):
        from ecgexp.models.resident import Predictor

        self._experiment, self._run_data, self._seeds, self._checkpoint_manager = (
            experiment,
            run_data,
            seeds,
            checkpoint_manager,
        )
        self._check_metric()
        check_evidence(experiment, run_data)
        self.history: dict[str, list[float]] = {}
        self._strategy = experiment.device.strategy()
        plan = experiment.trainer.plan(experiment.privacy, run_data.data)
        self.ledger = (
            Ledger(plan)
            if checkpoint_manager is None
            else checkpoint_manager.ledger(plan, num_steps=experiment.trainer.num_steps)
        )
        model = self._build_model()
        self.num_parameters = sum(
            int(np.prod(variable.shape)) for variable in model.trainable_variables
        )
        self.probabilities = Predictor(model, run_data.data.resident)

    def fit(self, tracker: Tracker, console: Console) -> ModelSelector:
        """Trains to the end or until the selection has seen enough; every epoch is validated and tracked."""
        experiment, trainer = self._experiment, self._experiment.trainer
        model_selector = ModelSelector(experiment.selection, is_private=experiment.is_private)
        training_state = (
            None if self._checkpoint_manager is None else self._checkpoint_manager.training_state
        )
        if training_state is not None:
            self._checkpoint_manager.restore(model_selector)
        curve, last = (
            LearningCurve(tracker, () if training_state is None else training_state.points),
            None,
        )
        with console.progress_bar("training") as progress_bar, self._strategy.scope():
            bar = StepBar(
                progress_bar,
                trainer.num_steps,
                trainer.step_name,
                step=1 if training_state is None else training_state.step + 1,
            )
            for epoch_result in self._steps(
                training_state, self._on_progress(bar, model_selector, curve)
            ):
                scores = self._scores(epoch_result)
                metrics = {
                    f"train/{name}": value for name, value in epoch_result.train_metrics.items()
                }
                metrics |= {f"validation/{name}": value for name, value in scores.items()}
                # Under keys of their own: the final validation scores, of the epoch that was kept, are not a point of the curve.
                curve.add(
                    {f"curve/{name}": value for name, value in metrics.items()} | self._spent()
                )
                goes_on = model_selector.update(epoch_result, scores)
                last = TrainingState(
                    step=epoch_result.step,
                    trainer=epoch_result.checkpoint(),
                    points=curve.points,
                    is_over=not goes_on,
                )
                self._keep(
                    last, model_selector, curve, is_last=epoch_result.step == trainer.num_steps
                )
                if not goes_on:
                    break
            if last is not None and not curve.is_shown:  # the budget ended it before its last epoch
                self._keep(last, model_selector, curve, is_last=True)
        self.history = curve.history("curve/")
        if not model_selector.step:
            raise DataError(
                f"no {trainer.step_name} was trained, so that there is no model; start anew"
            )
        artifacts.log_history(
            tracker,
            self.history,
            source=self._run_data.beats.database,
            step_name=experiment.trainer.step_name,
            kept_step=model_selector.step,
            withholds=experiment.withholds,
        )
        return model_selector

    def notes(self, model_selector: ModelSelector) -> Notes:
        """What the trained model does not rest on; what was read from training metrics is under `training`.

        Args:
          model_selector: the weights that were kept.
        """
        experiment, name, notes = self._experiment, self._experiment.trainer.step_name, Notes()
        if self.ledger.stopped_by_budget:
            notes["privacy"] = [
                f"privacy.max_epsilon={self.ledger.plan.max_epsilon:g} was spent after {self.ledger.steps} of "
                f"{self.ledger.plan.iterations} noisy steps"
            ]
        metric = experiment.selection.metric
        if model_selector.uses_validation:
            scores, counts = (
                self.history[f"validation/{metric}"],
                self._run_data.counts["validation"],
            )
            notes["selection"] = selection_notes(
                metric,
                scores,
                model_selector.step,
                counts,
                keeps=model_selector.keeps,
                step_name=name,
            )
        untrained = (
            "the initial ones with noise" if self.ledger.plan.is_private else "the initial ones"
        )
        notes["training"] = participation_notes(
            self.history, model_selector.step, step_name=name, untrained=untrained
        )
        return notes

    def _on_progress(
        self, bar: StepBar, model_selector: ModelSelector, curve: LearningCurve
    ) -> OnProgress:
        """Moves the bar on, and now and then writes down where a long epoch stands."""

        def on_progress(
            *, state: Callable[[], TrainerState] | None = None, **epoch_result: Any
        ) -> None:
            bar(**(epoch_result | {"metrics": {}} if self._experiment.withholds else epoch_result))
            if (
                self._checkpoint_manager is not None
                and state is not None
                and epoch_result["done"] < epoch_result["total"]
            ):
                finished = bar.step - 1
                written = self._checkpoint_manager.save_within(
                    lambda: TrainingState(
                        step=finished, trainer=state(), points=curve.points, is_over=False
                    ),
                    model_selector,
                )
                if written:
                    curve.show()

        return on_progress

    def _steps(
        self, training_state: TrainingState | None, on_progress: OnProgress
    ) -> Iterator[EpochResult]:
        """The epochs or rounds that are still to be trained."""
        if training_state is not None and training_state.is_over:
            return iter(())
        experiment = self._experiment
        return experiment.trainer.train(
            self._run_data.data,
            build_model=self._build_model,
            loss=experiment.loss.build(self._run_data.class_counts),
            augmentation=experiment.augmentation,
            ledger=self.ledger,
            seeds=self._seeds,
            on_progress=on_progress,
            resume_from=None if training_state is None else training_state.trainer,
        )

    def _keep(
        self,
        training_state: TrainingState,
        model_selector: ModelSelector,
        curve: LearningCurve,
        *,
        is_last: bool,
    ) -> None:
        """Writes down the standing if its turn has come, and shows the points that can then no longer be rolled back."""
        if self._checkpoint_manager is None or self._checkpoint_manager.save(
            training_state, model_selector, is_last=is_last
        ):
            curve.show()

    def _scores(self, epoch_result: EpochResult) -> dict[str, float]:
        """The validation scores of weights that are numbers.

        Raises:
          DataError: they are none; what came before them is on the disk, and they are not.
        """
        weights = epoch_result.weights()
        broken = sum(np.count_nonzero(~np.isfinite(weight)) for weight in weights)
        if broken:
            raise self._diverged(epoch_result.step, f"{broken} weights are no numbers")
        loss = epoch_result.train_metrics.get("loss", 0.0)
        # Without a promise only: whether a private run goes on must not hang on what the loss of one beat is.
        if not self._experiment.is_private and math.isnan(loss):
            raise self._diverged(epoch_result.step, f"the training loss is {loss}")
        try:
            return self.validate(weights)
        except DataError as error:
            raise self._diverged(epoch_result.step, str(error)) from error

    def _diverged(self, step: int, why: str) -> DataError:
        name, trainer = self._experiment.trainer.step_name, self._experiment.trainer
        rate = (
            "client_learning_rate" if hasattr(trainer, "client_learning_rate") else "learning_rate"
        )
        good = (
            f"{name} {step - 1} was the last good one"
            if step > 1
            else "there was no good one before it"
        )
        return DataError(
            f"training diverged in {name} {step}, {good}: {why}; try trainer.{rate}={getattr(trainer, rate) / 10:g}"
        )

    def statement(self, model_selector: ModelSelector) -> PrivacyStatement | None:
        """What the run promises, priced by what ran; None where no promise was made."""
        if not self._experiment.states_privacy_loss:
            return None
        experiment = self._experiment
        idle = set() if model_selector.uses_validation else {"selection"}
        idle |= set() if experiment.loss.class_weights != "none" else {"class weights"}
        idle |= {"client scores"} if self._run_data.partition.is_pooled else set()
        idle |= {"classes"} if experiment.grouping.empty_class != "drop" else set()
        return state(
            self.ledger, does_not_apply=idle, publishes_all=experiment.privacy.publish == "all"
        )

    def evaluate(self, split: str, model_selector: ModelSelector) -> tuple[Evaluation, np.ndarray]:
        """The scores of the chosen weights on one split, and the probabilities behind them."""
        run_data, rows = self._run_data, self._run_data.indices[split]
        beats = run_data.beats
        probabilities = self._experiment.read_probabilities(
            self.probabilities(model_selector.weights, rows), beats.class_names
        )
        evaluation = evaluate(
            labels=beats.labels[rows],
            probabilities=probabilities,
            class_names=beats.class_names,
            record_ids=beats.record_ids[rows],
            patient_ids=beats.patient_ids[rows],
            majority_class=run_data.baseline_class(rows),
            rng=self._seeds.generator(f"bootstrap/{split}"),
            num_resamples=self._experiment.num_resamples,
        )
        return evaluation, probabilities

    def validate(self, weights: list[np.ndarray]) -> dict[str, float]:
        """Scores on the validation beats, by name; with clients also `clients/accuracy_…`. Empty where there are no such beats.

        Raises:
          DataError: a probability is not finite.
        """
        data, rows = self._run_data.data, self._run_data.split.validation
        if not len(rows):
            return {}
        probabilities = self.probabilities(weights, rows)
        scores = dict(quick_scores(data.labels[rows], probabilities, data.class_names).values)
        if self._run_data.partition.is_pooled:
            return scores
        even = client_scores(self._run_data, "validation", probabilities).spread()
        return scores | {f"clients/{name}": value for name, value in even.items()}

    def scope(self) -> Any:
        """The context in which the run trains: its `tf.distribute` strategy."""
        return self._strategy.scope()

    def retraining(self, settings: "Centralized") -> "Retraining":
        """Trains the run's model anew, as often as is asked for; to be called and used within `scope`."""
        from ecgexp.training.retraining import Retraining

        experiment, run_data = self._experiment, self._run_data
        return Retraining(
            settings,
            run_data.data,
            build_model=self._build_model,
            loss=experiment.loss.build(run_data.class_counts),
            augmentation=experiment.augmentation,
            seeds=self._seeds,
        )

    def classifier(self, model_selector: ModelSelector) -> Classifier:
        """The chosen weights with everything needed to score a raw window."""
        beats = self._run_data.beats
        return Classifier(
            builder=self._experiment.model,
            features=self._experiment.features,
            weights=model_selector.weights,
            class_names=beats.class_names,
            window=beats.signals_mv.shape[1],
            lead_names=beats.lead_names,
            fs_hz=beats.fs_hz,
            before_samples=self._experiment.dataset.window_samples[0],
            database=beats.database,
            classes_without_training_beats=None
            if self._experiment.withholds
            else absent_classes(self._run_data.counts["train"]),
        )

    def _check_metric(self) -> None:
        """Refuses a selection metric that no epoch will have, before the first epoch is trained for it."""
        names, metric = self._run_data.data.class_names, self._experiment.selection.metric
        one_beat = quick_scores(np.zeros(1, int), np.full((1, len(names)), 1 / len(names)), names)
        known = set(one_beat.values)
        if not self._run_data.partition.is_pooled:
            known |= {f"clients/accuracy_{name}" for name in spread(np.zeros(1))}
        if metric not in known:
            there = ", ".join(sorted(known))
            raise ConfigError(
                f"selection.metric={metric} is not a validation score; there are: {there}"
            )

    def _spent(self) -> dict[str, float]:
        """ε so far, by RDP where it has a price: an upper bound of the reported value, and there in milliseconds."""
        if not self.ledger.plan.is_private or not self._experiment.states_privacy_loss:
            return {}
        try:
            return {"privacy/epsilon_spent": self.ledger.epsilon_spent("rdp")}
        except ConfigError:
            return {"privacy/epsilon_spent": self.ledger.epsilon_spent()}

    def _build_model(self) -> Any:
        import tensorflow as tf

        if tf.executing_eagerly():  # a client's copy, in a graph, gets its weights from the server
            tf.keras.utils.set_random_seed(self._seeds.integer("initial weights"))
        return self._experiment.model.build(
            feature_shapes(self._run_data.data.features), len(self._run_data.data.class_names)
        )
