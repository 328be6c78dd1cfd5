"""The baselines of a federated model: local-only, pooled and personalized models."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ecgexp.console import Console, StepBar
from ecgexp.evaluation.comparison import (
    GLOBAL,
    LOCAL_ONLY,
    PERSONALIZED,
    POOLED,
    BaselineComparison,
    accuracy,
)
from ecgexp.evaluation.metrics import quick_scores
from ecgexp.evaluation.missing import clients_of_one_class
from ecgexp.experiment.clients import client_scores
from ecgexp.experiment.data import RunData
from ecgexp.settings.declaration import ConfigError, DataError, NonNegativeInt, settings
from ecgexp.training.base import Trainer, Weights
from ecgexp.training.centralized import Centralized
from ecgexp.training.model_selection import ModelSelector
from ecgexp.training.optimizer import OptimizerName

if TYPE_CHECKING:
    from ecgexp.experiment.experiment import Experiment
    from ecgexp.experiment.training_loop import TrainingLoop
    from ecgexp.training.federated.settings import FederatedSettings

_KERAS_OPTIMIZERS = ("sgd", "adam")


@settings
class FederatedBaselines:
    """Models that are trained after the federated one and compared with it on the test beats.

    No choice depends on test beats. All are trained with the optimizer, learning rate, schedule and
    batch size of a client, and with the loss and augmentation of the run. Their optimizer keeps its
    state between passes, while a federated client starts it anew in each round.

    Attributes:
      local_only: each client trains alone, from the initial weights of the run, for `num_rounds *
        client_epochs` passes over its own beats: as many as if it took part in every round. The
        last weights are evaluated, since few clients have validation beats, on the client's own
        test beats, if it has any, and on all test beats.
      pooled: one model is trained on all training beats, in as many passes, so that it uses each
        beat as often as federated training with all clients in every round. The pass is selected by
        `selection`, as in the run itself. The difference is the effect of distribution alone, not
        that of the best centralized training, for which use trainer=centralized.
      personalize_epochs: passes over each client's own training beats that fine-tune the final
        model for that client, at a constant learning rate; 0 for none. The model is evaluated
        before and after on the client's own test beats; clients without any are left out.

    Example:
      >>> FederatedBaselines(pooled=True).local_only
      False
    """

    local_only: bool = False
    pooled: bool = False
    personalize_epochs: NonNegativeInt = 0

    @property
    def selected(self) -> dict[str, str]:
        """The selected baselines: setting as the user writes it -> setting that turns it off."""
        values = {
            "local_only": self.local_only,
            "pooled": self.pooled,
            "personalize_epochs": self.personalize_epochs,
        }
        return {
            f"federated_baselines.{name}={str(value).lower()}": (
                f"federated_baselines.{name}={str(type(value)()).lower()}"
            )
            for name, value in values.items()
            if value
        }

    def check(
        self, trainer: Trainer, *, is_pooled: bool, is_private: bool, evaluates_test: bool
    ) -> None:
        """Check, before any data are read, that the selected baselines are possible.

        Args:
          trainer: of the run.
          is_pooled: whether the partition assigns all beats to one client.
          is_private: whether a privacy setting is given.
          evaluates_test: whether the test beats are evaluated at the end.

        Raises:
          ConfigError: a baseline does not fit the other settings.
        """
        for setting, instead in self.selected.items():
            if is_pooled:
                raise ConfigError(
                    f"{setting}: compares clients, but partition=none assigns all beats to one; "
                    f"use trainer=federated, or {instead}."
                )
            if is_private:
                raise ConfigError(
                    f"{setting}: trains on the private beats without noise, which no privacy "
                    f"guarantee covers; use {instead}, or privacy=none."
                )
            if not evaluates_test:
                raise ConfigError(
                    f"{setting}: is evaluated on test beats, and the run evaluates none; use "
                    f"evaluate_on=[validation,test] test=open, or {instead}."
                )
            if (optimizer := _of_clients(trainer).client_optimizer) not in _KERAS_OPTIMIZERS:
                raise ConfigError(
                    f"{setting}: trains without TFF, where "
                    f"trainer.client_optimizer={optimizer} is not available; use "
                    f"trainer.client_optimizer=sgd, or adam, or {instead}."
                )


def evaluate_baselines(
    experiment: "Experiment",
    run_data: RunData,
    training_loop: "TrainingLoop",
    model_selector: ModelSelector,
    probabilities: np.ndarray,
    console: Console,
) -> BaselineComparison:
    """Train and evaluate the baselines that `experiment.federated_baselines` selects.

    Args:
      experiment: an `ecgexp.experiment.experiment.Experiment` whose trainer is federated.
      run_data: the data of the run.
      training_loop: of the finished run.
      model_selector: holds its final weights.
      probabilities: (num_test, classes) of the final weights on the test beats.
      console: shows progress.

    Returns:
      The scores of the federated model and of its baselines.
    """
    selected, train = experiment.federated_baselines, run_data.partition.train
    comparison = BaselineComparison(
        scores=client_scores(run_data, "test", probabilities),
        train_beats={name: len(rows) for name, rows in train.items()},
        one_class=clients_of_one_class(run_data.data.labels, train),
    )
    comparison.overall[GLOBAL] = _overall(run_data, probabilities)
    with training_loop.scope():
        trainings = _Trainings(_of_clients(experiment.trainer), training_loop, console)
        if selected.local_only:
            _local_only_baseline(comparison, run_data, trainings)
        if selected.personalize_epochs:
            _personalized_baseline(
                comparison, run_data, trainings, selected.personalize_epochs, model_selector.weights
            )
        if selected.pooled:
            _pooled_baseline(
                comparison,
                run_data,
                trainings,
                ModelSelector(experiment.selection, is_private=False),
            )
    return comparison


def _of_clients(trainer: Trainer) -> "FederatedSettings":
    """Return the trainer as the class that trains clients; `Experiment` has checked it."""
    return cast("FederatedSettings", trainer)


def client_rates(trainer: "FederatedSettings") -> list[float]:
    """Return the learning rate of each pass of a client that takes part in every round.

    Args:
      trainer: an `ecgexp.training.Federated`.
    """
    num_rounds, rate = trainer.num_rounds, trainer.client_learning_rate
    if trainer.client_schedule == "constant":
        return [rate] * (num_rounds * trainer.client_epochs)
    falling = [
        rate * 0.5 * (1 + math.cos(math.pi * done / num_rounds)) for done in range(num_rounds)
    ]
    return [value for value in falling for _ in range(trainer.client_epochs)]


@dataclass
class _Trainings:
    """Trains like a client of `trainer`."""

    trainer: "FederatedSettings"
    training_loop: "TrainingLoop"
    console: Console

    def __post_init__(self):
        trainer = self.trainer
        like_a_client = Centralized(
            batch_size=trainer.client_batch_size,
            optimizer=cast(OptimizerName, trainer.client_optimizer),  # checked by `check`
            momentum=trainer.client_momentum,
            learning_rate=trainer.client_learning_rate,
            schedule="constant",
        )
        self.rates = client_rates(trainer)
        self.retraining = self.training_loop.retraining(like_a_client)

    def of_each(
        self,
        what: str,
        clients: Mapping[str, np.ndarray],
        rates: Sequence[float],
        start: Weights | None = None,
    ) -> Iterator[tuple[str, Weights]]:
        """Yield the id and the last weights of each client after a training on its rows."""
        with self.console.progress_bar(what) as progress_bar:
            for number, (client, rows) in enumerate(clients.items(), 1):
                last = None
                for epoch_result in self.retraining.train(
                    rows, rates, start=start, on_progress=_silent
                ):
                    progress_bar(
                        (number - 1) * len(rates) + epoch_result.step,
                        len(clients) * len(rates),
                        f"client {client}",
                    )
                    last = epoch_result
                if last is not None:
                    yield client, last.weights()


def _local_only_baseline(
    comparison: BaselineComparison, run_data: RunData, trainings: _Trainings
) -> None:
    test, own = run_data.split.test, comparison.own.setdefault(LOCAL_ONLY, {})
    labels, scores = run_data.data.labels[test], comparison.scores
    for client, weights in trainings.of_each(
        "clients alone", run_data.partition.train, trainings.rates
    ):
        probabilities = trainings.training_loop.probabilities(weights, test)
        comparison.everywhere[client] = accuracy(labels, probabilities)
        if client in scores.clients:
            mine = scores.groups == scores.clients.index(client)
            own[client] = accuracy(labels[mine], probabilities[mine])


def _personalized_baseline(
    comparison: BaselineComparison,
    run_data: RunData,
    trainings: _Trainings,
    epochs: int,
    start: Weights,
) -> None:
    own, rates = (
        comparison.own.setdefault(PERSONALIZED, {}),
        [trainings.trainer.client_learning_rate] * epochs,
    )
    tested = {client: run_data.partition.train[client] for client in comparison.both}
    for client, weights in trainings.of_each("personalizing", tested, rates, start):
        rows = run_data.partition.test[client]
        own[client] = accuracy(
            run_data.data.labels[rows], trainings.training_loop.probabilities(weights, rows)
        )


def _pooled_baseline(
    comparison: BaselineComparison, run_data: RunData, trainings: _Trainings, best: ModelSelector
) -> None:
    test, training_loop, rates = run_data.split.test, trainings.training_loop, trainings.rates
    comparison.own[POOLED], comparison.overall[POOLED] = {}, {"accuracy": math.nan}
    try:
        with trainings.console.progress_bar("pooled training") as progress_bar:
            for epoch_result in trainings.retraining.train(
                run_data.split.train, rates, on_progress=StepBar(progress_bar, len(rates), "epoch")
            ):
                if not best.update(epoch_result, training_loop.validate(epoch_result.weights())):
                    break
        probabilities = training_loop.probabilities(best.weights, test)
        comparison.overall[POOLED] = _overall(run_data, probabilities)
    except DataError:
        # It diverged, which is reported; the federated model and the other baselines remain.
        return
    scores = client_scores(run_data, "test", probabilities)
    comparison.own[POOLED] = dict(zip(scores.clients, scores.accuracy.tolist(), strict=True))


def _overall(run_data: RunData, probabilities: np.ndarray) -> dict[str, float]:
    scores = quick_scores(
        run_data.data.labels[run_data.split.test], probabilities, run_data.data.class_names
    ).values
    return {name: scores[name] for name in ("accuracy", "macro_f1")}


def _silent(**_: Any) -> None:
    """Ignore the progress: the passes of one client are too short to show."""
