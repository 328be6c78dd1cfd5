"""The training loop of one run, for every trainer: train, evaluate, save and select."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgexp.console import Console, StepBar
from ecgexp.evaluation.score_names import epoch_score_names
from ecgexp.experiment import artifacts
from ecgexp.experiment.data import RunData
from ecgexp.experiment.deadline import Deadline
from ecgexp.experiment.model_runtime import runtime_of
from ecgexp.experiment.plugin_parts import LedgerWatch
from ecgexp.experiment.time_left import TimeLeft
from ecgexp.experiment.validation import Validation
from ecgexp.privacy.ledger import Ledger
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError, DataError, Pruned
from ecgexp.tracking.base import ReadableTracker
from ecgexp.training.base import EpochResult, OnProgress, TrainerState
from ecgexp.training.checkpointing.manager import CheckpointManager, LearningCurve, TrainingState
from ecgexp.training.model_selection import ModelSelector
from ecgexp.training.step_profile import StepProfile

if TYPE_CHECKING:
    from ecgexp.experiment.experiment import Experiment
    from ecgexp.training.centralized import Centralized
    from ecgexp.training.retraining import Retraining

Continues = Callable[[int, Mapping[str, float]], bool]
"""(epoch, its validation scores) -> whether training should continue."""


class TrainingLoop:
    """Trains the model of an experiment, whatever the trainer is.

    Args:
      experiment: an `ecgexp.experiment.experiment.Experiment`.
      run_data: the data of the run, checked for leakage.
      seeds: the random streams of the run.
      ledger: of the trainer's plan.
      checkpoint_manager: saves the state of training, and holds the state to resume from; None:
        nothing is saved.

    Attributes:
      seeds: the random streams of the run.
      ledger: see above.
      history: `train/<metric>` and `validation/<metric>` -> one value per epoch or round, NaN where
        it was not measured.
      runtime: builds and computes the run's model.
      probabilities: `(weights, rows (n,)) -> (n, num_classes)` of the run's model.
      profile: of one epoch or round; None unless the run profiles its training.

    Raises:
      ConfigError: no epoch has the metric of the selection, TensorFlow cannot use the device, or
        the model cannot be built.
    """

    def __init__(
        self,
        experiment: "Experiment",
        run_data: RunData,
        seeds: Seeds,
        ledger: Ledger,
        *,
        checkpoint_manager: CheckpointManager | None = None,
    ):
        self._experiment, self._run_data, self.seeds, self.ledger, self._checkpoint_manager = (
            experiment,
            run_data,
            seeds,
            ledger,
            checkpoint_manager,
        )
        self._check_metric()
        self.history: dict[str, list[float]] = {}
        self.runtime = runtime_of(experiment, run_data, seeds)
        self.probabilities = self.runtime.probabilities
        self._validation = Validation(experiment, run_data, self.probabilities)
        self.profile = (
            StepProfile(step=min(2, experiment.trainer.num_steps))
            if experiment.debug.preset == "profile"
            else None
        )
        self._is_divisible = False  # whether an epoch can be resumed in the middle

    @property
    def training_state(self) -> TrainingState | None:
        """The state from which training resumes; None: it begins."""
        return self._checkpoint_manager and self._checkpoint_manager.training_state

    def fit(
        self,
        tracker: ReadableTracker,
        console: Console,
        continues: Continues | None = None,
        deadline: Deadline | None = None,
    ) -> ModelSelector:
        """Train until the last epoch or until the selection stops training.

        Every epoch is evaluated on the validation beats and tracked.

        Args:
          tracker: of the run.
          console: shows progress.
          continues: asked after each epoch or round; None: all are trained.
          deadline: the time limit; None: there is none.

        Returns:
          The selector with the selected weights.

        Raises:
          DataError: training diverged, or no epoch was trained.
          Pruned: `continues` returned False before the last epoch.
          OutOfTime: the deadline has passed; the state of the training is saved.
        """
        deadline = deadline or Deadline()
        experiment, trainer = self._experiment, self._experiment.trainer
        model_selector = ModelSelector(experiment.selection, is_private=experiment.is_private)
        manager = self._checkpoint_manager
        training_state = self.training_state
        if manager is not None and training_state is not None:
            manager.restore(model_selector)
        curve, last = (
            LearningCurve(tracker, () if training_state is None else training_state.points),
            None,
        )
        with console.progress_bar("training") as progress_bar, self.runtime.scope():
            bar = StepBar(
                progress_bar,
                trainer.num_steps,
                trainer.step_name,
                step=1 if training_state is None else training_state.step + 1,
            )
            time_left = TimeLeft(console, trainer.step_name, trainer.num_steps)
            deadline.begin_steps()
            on_progress = self._on_progress(bar, time_left, model_selector, curve, deadline)
            ledger_watch = LedgerWatch(self.ledger, trainer.num_steps)
            for epoch_result in self._steps(training_state, on_progress):
                ledger_watch.check(epoch_result.step, has_event=epoch_result.dp_event is not None)
                with deadline.validating():
                    scores = self._validation.scores_of_epoch(epoch_result)
                metrics = {
                    f"train/{name}": value for name, value in epoch_result.train_metrics.items()
                }
                metrics |= {f"validation/{name}": value for name, value in scores.items()}
                # Under separate keys: the final validation scores, of the selected epoch, are not a
                # point of the curve.
                curve.add(
                    {f"curve/{name}": value for name, value in metrics.items()} | self._spent()
                )
                is_over = not model_selector.update(epoch_result, scores)
                is_over |= self._fits_training(epoch_result)
                is_last = epoch_result.step == trainer.num_steps
                is_pruned = continues is not None and not continues(epoch_result.step, scores)
                if is_pruned and not (is_over or is_last):
                    curve.show()
                    raise Pruned(
                        f"pruned after {trainer.step_name} {epoch_result.step} of "
                        f"{trainer.num_steps}"
                    )
                last = TrainingState(
                    step=epoch_result.step,
                    trainer=epoch_result.checkpoint(),
                    points=curve.points,
                    is_over=is_over,
                )
                continues_training = is_last or deadline.fits_another_step(
                    divisible=self._is_divisible
                )
                with deadline.saving():
                    self._save(
                        last, model_selector, curve, is_last=is_last or not continues_training
                    )
                if is_over:
                    break
                if not continues_training:
                    deadline.end(f"after {trainer.step_name} {epoch_result.step}")
            # The budget may end training before its last epoch.
            if last is not None and not curve.is_shown:
                self._save(last, model_selector, curve, is_last=True)
        self.history = curve.history("curve/")
        if not model_selector.step:
            raise DataError(
                f"checkpoint: no {trainer.step_name} was trained, so that there is no model; start "
                "a new run, without resume=."
            )
        artifacts.log_history(
            tracker,
            self.history,
            source=self._run_data.beats.database,
            step_name=experiment.trainer.step_name,
            kept_step=model_selector.step,
            withholds=experiment.withholds,
            figure_format=experiment.figures.format,
        )
        return model_selector

    def _on_progress(
        self,
        bar: StepBar,
        time_left: TimeLeft,
        model_selector: ModelSelector,
        curve: LearningCurve,
        deadline: Deadline,
    ) -> OnProgress:
        """Return the callback that shows the progress and saves the state of a long epoch.

        It ends the training when the deadline requires it, after it has saved the state.
        """

        def on_progress(
            *, state: Callable[[], TrainerState] | None = None, **epoch_result: Any
        ) -> None:
            time_left(bar.step, epoch_result["done"], epoch_result["total"])
            bar(**(epoch_result | {"metrics": {}} if self._experiment.withholds else epoch_result))
            self._is_divisible = state is not None
            if (
                self._checkpoint_manager is not None
                and state is not None
                and epoch_result["done"] < epoch_result["total"]
            ):
                is_over = deadline.must_end
                finished = bar.step - 1
                with deadline.saving():
                    written = self._checkpoint_manager.save_within(
                        lambda: TrainingState(
                            step=finished, trainer=state(), points=curve.points, is_over=False
                        ),
                        model_selector,
                        at_once=is_over,
                    )
                    if written:
                        curve.show()
                if is_over:
                    deadline.end(f"within {bar.step_name} {bar.step}")

        return on_progress

    def _steps(
        self, training_state: TrainingState | None, on_progress: OnProgress
    ) -> Iterator[EpochResult]:
        """Return the epochs or rounds that remain to be trained."""
        if training_state is not None and training_state.is_over:
            return iter(())
        experiment = self._experiment
        steps = experiment.trainer.train(
            self._run_data.data,
            build_model=self.runtime.build,
            loss=self.runtime.loss,
            augmentation=experiment.augmentation,
            ledger=self.ledger,
            seeds=self.seeds,
            on_progress=on_progress,
            resume_from=None if training_state is None else training_state.trainer,
        )
        return steps if self.profile is None else self.profile.watch(steps)

    def _save(
        self,
        training_state: TrainingState,
        model_selector: ModelSelector,
        curve: LearningCurve,
        *,
        is_last: bool,
    ) -> None:
        """Save the training state if it is due, and then log the points of the curve.

        A saved point can no longer be rolled back.
        """
        if self._checkpoint_manager is None or self._checkpoint_manager.save(
            training_state, model_selector, is_last=is_last
        ):
            curve.show()

    def validate(self, weights: list[np.ndarray]) -> dict[str, float]:
        """Return the scores on the validation beats; see `Validation.scores`."""
        return self._validation.scores(weights)

    def accuracy_on_training(self, weights: list[np.ndarray]) -> float:
        """Return the accuracy on the training beats; no ε covers it."""
        data, rows = self._run_data.data, self._run_data.split.train
        found = self._experiment.read_probabilities(
            self.probabilities(weights, rows), data.class_names
        )
        return float(np.mean(found.argmax(axis=1) == data.labels[rows]))

    def _fits_training(self, epoch_result: EpochResult) -> bool:
        """Return whether a run with `debug=overfit` has reached its end before its last epoch.

        Under a guarantee it never has: when training ends would reveal the training beats.
        """
        experiment = self._experiment
        return (
            experiment.debug.preset == "overfit"
            and not experiment.has_privacy_guarantee
            and self.accuracy_on_training(epoch_result.weights()) == 1.0
        )

    def scope(self) -> Any:
        """Return the context in which the run trains; see `ModelRuntime.scope`."""
        return self.runtime.scope()

    def retraining(self, settings: "Centralized") -> "Retraining":
        """Return a retraining of the run's model; to be called and used within `scope`.

        Args:
          settings: of the optimizer and the batches.
        """
        from ecgexp.training.retraining import Retraining

        experiment, run_data = self._experiment, self._run_data
        return Retraining(
            settings,
            run_data.data,
            build_model=self.runtime.build,
            loss=self.runtime.loss,
            augmentation=experiment.augmentation,
            seeds=self.seeds,
        )

    def _check_metric(self) -> None:
        """Check that every epoch has `selection.metric`: the data may lack a class."""
        run_data = self._run_data
        self._experiment.selection.check_metric(
            epoch_score_names(
                run_data.data.class_names, has_clients=not run_data.partition.is_pooled
            )
        )

    def _spent(self) -> dict[str, float]:
        """Return ε so far.

        It is computed by RDP, which takes milliseconds and gives an upper bound of the reported
        value; where RDP does not apply, by the accountant of the plan.
        """
        if not self.ledger.plan.is_private or not self._experiment.states_privacy_loss:
            return {}
        try:
            return {"privacy/epsilon_spent": self.ledger.epsilon_spent("rdp")}
        except ConfigError:
            return {"privacy/epsilon_spent": self.ledger.epsilon_spent()}
