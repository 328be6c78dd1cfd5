"""What a federated model is held against: clients on their own, all beats in one place, and a model tuned for each client."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgexp.console import Console, StepBar
from ecgexp.evaluation.comparison import (
    GLOBAL,
    LOCAL_ONLY,
    PERSONALIZED,
    POOLED,
    FederatedComparison,
    accuracy,
)
from ecgexp.evaluation.metrics import quick_scores
from ecgexp.evaluation.missing import clients_of_one_class
from ecgexp.experiment.clients import client_scores
from ecgexp.experiment.data import RunData
from ecgexp.settings.declaration import ConfigError, DataError, NonNegativeInt, settings
from ecgexp.training.base import Weights
from ecgexp.training.centralized import Centralized
from ecgexp.training.model_selection import ModelSelector

if TYPE_CHECKING:
    from ecgexp.experiment.training_loop import TrainingLoop

_KERAS_OPTIMIZERS = ("sgd", "adam")


@settings
class FederatedBaselines:
    """Models that are trained when the federated one is finished, to be judged beside it; nothing is chosen by test beats.

    All are trained with the client's optimizer, learning rate, schedule and batch size, and with the run's loss and
    augmentation. The optimizer keeps its state from pass to pass, where a federated client begins anew in each round.

    Attributes:
      local_only: each client trains alone, from the run's initial weights, for `num_rounds * client_epochs` passes over its own
        beats: as many as if it had taken part in every round. The last weights are kept, since hardly any client has
        validation beats. Each model is judged on the client's own test beats, where it has some, and on all test beats.
      pooled: one model is trained on all training beats in one place, in as many passes, so that it sees each beat as often as
        a federation of all clients in every round does. Which pass is kept follows from `selection`, as in the run itself.
        It is what distribution alone costs, not the best that central training can do: for that run trainer=centralized.
      personalize_epochs: passes over each client's own training beats that tune the final model for that client, at the
        constant learning rate; 0 for none. Judged before and after on the client's own test beats; clients without any
        are left out.
    """

    local_only: bool = False
    pooled: bool = False
    personalize_epochs: NonNegativeInt = 0

    @property
    def asked(self) -> dict[str, str]:
        """What was asked for, as it is typed, and what would take it back."""
        asked = {
            "local_only": self.local_only,
            "pooled": self.pooled,
            "personalize_epochs": self.personalize_epochs,
        }
        return {
            f"federated_baselines.{name}={str(value).lower()}": f"federated_baselines.{name}={str(type(value)()).lower()}"
            for name, value in asked.items()
            if value
        }

    def check(
        self, trainer: Any, *, is_pooled: bool, is_private: bool, evaluates_test: bool
    ) -> None:
        """Refuses what cannot be compared, before any data are read.

        Args:
          trainer: of the run.
          is_pooled: whether the partition deals all beats to one place.
          is_private: whether a promise of privacy was asked for.
          evaluates_test: whether the test beats are scored at the end.

        Raises:
          ConfigError: with what to type.
        """
        for typed, instead in self.asked.items():
            if is_pooled:
                raise ConfigError(
                    f"{typed} compares clients, and partition=none deals all beats to one place; type trainer=federated, or "
                    f"{instead}"
                )
            if is_private:
                raise ConfigError(
                    f"{typed} trains on the private beats without noise, and no promise would cover what comes of it; type "
                    f"{instead}, or privacy=none"
                )
            if not evaluates_test:
                raise ConfigError(
                    f"{typed} is judged on test beats, and evaluate_on leaves them alone; type evaluate_on=[validation,test], or "
                    f"{instead}"
                )
            if trainer.client_optimizer not in _KERAS_OPTIMIZERS:
                raise ConfigError(
                    f"{typed} trains with the client's optimizer outside TFF, where trainer.client_optimizer="
                    f"{trainer.client_optimizer} is not there; type trainer.client_optimizer=sgd, or adam, or {instead}"
                )


def evaluate_baselines(
    experiment: Any,
    run_data: RunData,
    training_loop: "TrainingLoop",
    model_selector: ModelSelector,
    probabilities: np.ndarray,
    console: Console,
) -> FederatedComparison:
    """Trains and judges what `experiment.federated_baselines` asks for.

    Args:
      experiment: an `ecgexp.experiment.experiment.Experiment` whose trainer is federated.
      run_data: the beats and who holds them.
      training_loop: of the finished run.
      model_selector: its final weights.
      probabilities: (num_test, classes) that they give the test beats.
      console: shows progress.
    """
    asked, train = experiment.federated_baselines, run_data.partition.train
    comparison = FederatedComparison(
        scores=client_scores(run_data, "test", probabilities),
        train_beats={name: len(rows) for name, rows in train.items()},
        one_class=clients_of_one_class(run_data.data.labels, train),
    )
    comparison.overall[GLOBAL] = _overall(run_data, probabilities)
    with training_loop.scope():
        trainings = _Trainings(experiment.trainer, training_loop, console)
        if asked.local_only:
            _local_only_baseline(comparison, run_data, trainings)
        if asked.personalize_epochs:
            _personalized_baseline(
                comparison, run_data, trainings, asked.personalize_epochs, model_selector.weights
            )
        if asked.pooled:
            _pooled_baseline(
                comparison,
                run_data,
                trainings,
                ModelSelector(experiment.selection, is_private=False),
            )
    return comparison


def client_rates(trainer: Any) -> list[float]:
    """The learning rate of each pass of a client that takes part in every round."""
    num_rounds, rate = trainer.num_rounds, trainer.client_learning_rate
    if trainer.client_schedule == "constant":
        return [rate] * (num_rounds * trainer.client_epochs)
    falling = [
        rate * 0.5 * (1 + math.cos(math.pi * done / num_rounds)) for done in range(num_rounds)
    ]
    return [value for value in falling for _ in range(trainer.client_epochs)]


@dataclass
class _Trainings:
    """Trains as a client of `trainer` would, and predicts."""

    trainer: Any
    training_loop: "TrainingLoop"
    console: Console

    def __post_init__(self):
        trainer = self.trainer
        alike = Centralized(
            batch_size=trainer.client_batch_size,
            optimizer=trainer.client_optimizer,
            momentum=trainer.client_momentum,
            learning_rate=trainer.client_learning_rate,
            schedule="constant",
        )
        self.rates = client_rates(trainer)
        self.retraining = self.training_loop.retraining(alike)

    def of_each(
        self,
        what: str,
        clients: Mapping[str, np.ndarray],
        rates: Sequence[float],
        start: Weights | None = None,
    ) -> Iterator[tuple[str, Weights]]:
        """Client id and last weights of a training on the rows of each client."""
        with self.console.progress_bar(what) as progress_bar:
            for number, (client, rows) in enumerate(clients.items(), 1):
                for epoch_result in self.retraining.train(
                    rows, rates, start=start, on_progress=_silent
                ):
                    progress_bar(
                        (number - 1) * len(rates) + epoch_result.step,
                        len(clients) * len(rates),
                        f"client {client}",
                    )
                yield client, epoch_result.weights()


def _local_only_baseline(
    comparison: FederatedComparison, run_data: RunData, trainings: _Trainings
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
    comparison: FederatedComparison,
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
    comparison: FederatedComparison, run_data: RunData, trainings: _Trainings, best: ModelSelector
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
    except (
        DataError
    ):  # it diverged, and is told so; the federated model and the other comparisons stand
        return
    scores = client_scores(run_data, "test", probabilities)
    comparison.own[POOLED] = dict(zip(scores.clients, scores.accuracy.tolist(), strict=True))


def _overall(run_data: RunData, probabilities: np.ndarray) -> dict[str, float]:
    scores = quick_scores(
        run_data.data.labels[run_data.split.test], probabilities, run_data.data.class_names
    ).values
    return {name: scores[name] for name in ("accuracy", "macro_f1")}


def _silent(**_: Any) -> None:
    """A client's passes are too short to tell of their steps."""
