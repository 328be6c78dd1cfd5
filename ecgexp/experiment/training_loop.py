"""The model of one run: trained step by step, judged, and handed over."""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgexp.console import StepBar, Watcher
from ecgexp.evaluation.clients import spread
from ecgexp.evaluation.evaluator import Evaluation, evaluate
from ecgexp.evaluation.metrics import quick_scores
from ecgexp.evaluation.missing import absent_classes, participation_notes, selection_notes
from ecgexp.experiment import artifacts
from ecgexp.experiment.class_coverage import Notes, check_evidence
from ecgexp.experiment.clients import client_scores
from ecgexp.experiment.data import Prepared
from ecgexp.features.inputs import input_shapes
from ecgexp.models.classifier import Classifier
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.statement import PrivacyStatement, state
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.tracking.base import Tracker
from ecgexp.training.base import Progress, StepReporter, TrainerState
from ecgexp.training.checkpointing.manager import Keeper, LearningCurve, Standing
from ecgexp.training.model_selection import Chosen

if TYPE_CHECKING:
    from ecgexp.training.centralized import Centralized
    from ecgexp.training.retraining import Retraining


class Learner:
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

    def __init__(self, experiment: Any, prepared: Prepared, seeds: Seeds, keeper: Keeper | None = None):
        from ecgexp.models.resident import Predictor

        self._experiment, self._prepared, self._seeds, self._keeper = experiment, prepared, seeds, keeper
        self._check_metric()
        check_evidence(experiment, prepared)
        self.history: dict[str, list[float]] = {}
        self._strategy = experiment.device.strategy()
        plan = experiment.trainer.plan(experiment.privacy, prepared.data)
        self.ledger = Ledger(plan) if keeper is None else keeper.ledger(plan, num_steps=experiment.trainer.num_steps)
        model = self._build_model()
        self.num_parameters = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
        self.probabilities = Predictor(model, prepared.data.resident)

    def fit(self, tracker: Tracker, watcher: Watcher) -> Chosen:
        """Trains to the end or until the selection has seen enough; every epoch is validated and tracked."""
        experiment, trainer = self._experiment, self._experiment.trainer
        chosen = Chosen(experiment.selection, is_private=experiment.is_private)
        standing = None if self._keeper is None else self._keeper.standing
        if standing is not None:
            self._keeper.restore(chosen)
        curve, last = LearningCurve(tracker, () if standing is None else standing.points), None
        with watcher.work("training") as work, self._strategy.scope():
            bar = StepBar(work, trainer.num_steps, trainer.step_name, step=1 if standing is None else standing.step + 1)
            for progress in self._steps(standing, self._reporter(bar, chosen, curve)):
                scores = self._scores(progress)
                metrics = {f"train/{name}": value for name, value in progress.train_metrics.items()}
                metrics |= {f"validation/{name}": value for name, value in scores.items()}
                # Under keys of their own: the final validation scores, of the epoch that was kept, are not a point of the curve.
                curve.add({f"curve/{name}": value for name, value in metrics.items()} | self._spent())
                goes_on = chosen.consider(progress, scores)
                last = Standing(
                    step=progress.step, trainer=progress.checkpoint(), points=curve.points, is_over=not goes_on
                )
                self._keep(last, chosen, curve, is_last=progress.step == trainer.num_steps)
                if not goes_on:
                    break
            if last is not None and not curve.is_shown:  # the budget ended it before its last epoch
                self._keep(last, chosen, curve, is_last=True)
        self.history = curve.history("curve/")
        if not chosen.step:
            raise DataError(f"no {trainer.step_name} was trained, so that there is no model; start anew")
        artifacts.log_history(
            tracker,
            self.history,
            source=self._prepared.beats.database,
            step_name=experiment.trainer.step_name,
            kept_step=chosen.step,
            withholds=experiment.withholds,
        )
        return chosen

    def notes(self, chosen: Chosen) -> Notes:
        """What the trained model does not rest on; what was read from training metrics is under `training`.

        Args:
          chosen: the weights that were kept.
        """
        experiment, name, notes = self._experiment, self._experiment.trainer.step_name, Notes()
        if self.ledger.stopped_by_budget:
            notes["privacy"] = [
                f"privacy.max_epsilon={self.ledger.plan.max_epsilon:g} was spent after {self.ledger.steps} of "
                f"{self.ledger.plan.iterations} noisy steps"
            ]
        metric = experiment.selection.metric
        if chosen.uses_validation:
            scores, counts = self.history[f"validation/{metric}"], self._prepared.counts["validation"]
            notes["selection"] = selection_notes(
                metric, scores, chosen.step, counts, keeps=chosen.keeps, step_name=name
            )
        untrained = "the initial ones with noise" if self.ledger.plan.is_private else "the initial ones"
        notes["training"] = participation_notes(self.history, chosen.step, step_name=name, untrained=untrained)
        return notes

    def _reporter(self, bar: StepBar, chosen: Chosen, curve: LearningCurve) -> StepReporter:
        """Moves the bar on, and now and then writes down where a long epoch stands."""

        def report(*, state: Callable[[], TrainerState] | None = None, **progress: Any) -> None:
            bar(**(progress | {"metrics": {}} if self._experiment.withholds else progress))
            if self._keeper is not None and state is not None and progress["done"] < progress["total"]:
                finished = bar.step - 1
                written = self._keeper.keep_within(
                    lambda: Standing(step=finished, trainer=state(), points=curve.points, is_over=False), chosen
                )
                if written:
                    curve.show()

        return report

    def _steps(self, standing: Standing | None, report: StepReporter) -> Iterator[Progress]:
        """The epochs or rounds that are still to be trained."""
        if standing is not None and standing.is_over:
            return iter(())
        experiment = self._experiment
        return experiment.trainer.train(
            self._prepared.data, build_model=self._build_model, loss=experiment.loss.build(self._prepared.class_counts),
            augmentation=experiment.augmentation, ledger=self.ledger, seeds=self._seeds, report=report,
            resume_from=None if standing is None else standing.trainer,
        )  # fmt: skip

    def _keep(self, standing: Standing, chosen: Chosen, curve: LearningCurve, *, is_last: bool) -> None:
        """Writes down the standing if its turn has come, and shows the points that can then no longer be rolled back."""
        if self._keeper is None or self._keeper.keep(standing, chosen, is_last=is_last):
            curve.show()

    def _scores(self, progress: Progress) -> dict[str, float]:
        """The validation scores of weights that are numbers.

        Raises:
          DataError: they are none; what came before them is on the disk, and they are not.
        """
        weights = progress.weights()
        broken = sum(np.count_nonzero(~np.isfinite(weight)) for weight in weights)
        if broken:
            raise self._diverged(progress.step, f"{broken} weights are no numbers")
        loss = progress.train_metrics.get("loss", 0.0)
        # Without a promise only: whether a private run goes on must not hang on what the loss of one beat is.
        if not self._experiment.is_private and math.isnan(loss):
            raise self._diverged(progress.step, f"the training loss is {loss}")
        try:
            return self.validate(weights)
        except DataError as error:
            raise self._diverged(progress.step, str(error)) from error

    def _diverged(self, step: int, why: str) -> DataError:
        name, trainer = self._experiment.trainer.step_name, self._experiment.trainer
        rate = "client_learning_rate" if hasattr(trainer, "client_learning_rate") else "learning_rate"
        good = f"{name} {step - 1} was the last good one" if step > 1 else "there was no good one before it"
        return DataError(
            f"training diverged in {name} {step}, {good}: {why}; try trainer.{rate}={getattr(trainer, rate) / 10:g}"
        )

    def statement(self, chosen: Chosen) -> PrivacyStatement | None:
        """What the run promises, priced by what ran; None where no promise was made."""
        if not self._experiment.makes_promise:
            return None
        experiment = self._experiment
        idle = set() if chosen.uses_validation else {"selection"}
        idle |= set() if experiment.loss.class_weights != "none" else {"class weights"}
        idle |= {"client scores"} if self._prepared.deal.is_pooled else set()
        idle |= {"classes"} if experiment.grouping.empty_class != "drop" else set()
        return state(self.ledger, does_not_apply=idle, publishes_all=experiment.privacy.publish == "all")

    def judge(self, split: str, chosen: Chosen) -> tuple[Evaluation, np.ndarray]:
        """The scores of the chosen weights on one split, and the probabilities behind them."""
        prepared, rows = self._prepared, self._prepared.indices[split]
        beats = prepared.beats
        probabilities = self._experiment.read_probabilities(self.probabilities(chosen.weights, rows), beats.class_names)
        evaluation = evaluate(
            labels=beats.labels[rows], probabilities=probabilities, class_names=beats.class_names,
            record_ids=beats.record_ids[rows], patient_ids=beats.patient_ids[rows], majority_class=prepared.baseline_class(rows),
            rng=self._seeds.generator(f"bootstrap/{split}"), num_resamples=self._experiment.num_resamples,
        )  # fmt: skip
        return evaluation, probabilities

    def validate(self, weights: list[np.ndarray]) -> dict[str, float]:
        """Scores on the validation beats, by name; with clients also `clients/accuracy_…`. Empty where there are no such beats.

        Raises:
          DataError: a probability is not finite.
        """
        data, rows = self._prepared.data, self._prepared.split.validation
        if not len(rows):
            return {}
        probabilities = self.probabilities(weights, rows)
        scores = dict(quick_scores(data.labels[rows], probabilities, data.class_names).values)
        if self._prepared.deal.is_pooled:
            return scores
        even = client_scores(self._prepared, "validation", probabilities).spread()
        return scores | {f"clients/{name}": value for name, value in even.items()}

    def scope(self) -> Any:
        """The context in which the run trains: its `tf.distribute` strategy."""
        return self._strategy.scope()

    def retraining(self, settings: "Centralized") -> "Retraining":
        """Trains the run's model anew, as often as is asked for; to be called and used within `scope`."""
        from ecgexp.training.retraining import Retraining

        experiment, prepared = self._experiment, self._prepared
        return Retraining(
            settings, prepared.data, build_model=self._build_model, loss=experiment.loss.build(prepared.class_counts),
            augmentation=experiment.augmentation, seeds=self._seeds,
        )  # fmt: skip

    def classifier(self, chosen: Chosen) -> Classifier:
        """The chosen weights with everything needed to score a raw window."""
        beats = self._prepared.beats
        return Classifier(
            builder=self._experiment.model, model_input=self._experiment.input, weights=chosen.weights,
            class_names=beats.class_names, window=beats.signals_mv.shape[1], lead_names=beats.lead_names, fs_hz=beats.fs_hz,
            before_samples=self._experiment.dataset.window_samples[0], database=beats.database,
            classes_without_training_beats=None if self._experiment.withholds else absent_classes(self._prepared.counts["train"]),
        )  # fmt: skip

    def _check_metric(self) -> None:
        """Refuses a selection metric that no epoch will have, before the first epoch is trained for it."""
        names, metric = self._prepared.data.class_names, self._experiment.selection.metric
        one_beat = quick_scores(np.zeros(1, int), np.full((1, len(names)), 1 / len(names)), names)
        known = set(one_beat.values)
        if not self._prepared.deal.is_pooled:
            known |= {f"clients/accuracy_{name}" for name in spread(np.zeros(1))}
        if metric not in known:
            there = ", ".join(sorted(known))
            raise ConfigError(f"selection.metric={metric} is not a validation score; there are: {there}")

    def _spent(self) -> dict[str, float]:
        """ε so far, by RDP where it has a price: an upper bound of the reported value, and there in milliseconds."""
        if not self.ledger.plan.is_private or not self._experiment.makes_promise:
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
            input_shapes(self._prepared.data.features), len(self._prepared.data.class_names)
        )
