"""The rounds of `federated.py` in pfl-research's simulation with PyTorch; needs pfl and torch."""

import dataclasses
from importlib.metadata import version
from typing import Any

import torch
from federated_pace import CLIENT_RATE, Pace, Problem
from federated_torch import network, tensors
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam.base import NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel


def run(problem: Problem, pace: Pace) -> None:
    """Trains one client after another, as pfl without Horovod, with a fixed order of batches."""
    module = _Module(problem.model)
    model = PyTorchModel(module, torch.optim.SGD, torch.optim.SGD(module.parameters(), lr=1.0))
    held = {
        number: Dataset(tensors(problem, rows), user_id=str(number))
        for number, rows in enumerate(problem.clients.values())
    }
    data = FederatedDataset(held.__getitem__, get_user_sampler("minimize_reuse", list(held)))
    pace.begin()
    _FedAvgWithoutEvaluation().run(
        NNAlgorithmParams(
            central_num_iterations=problem.num_rounds,
            evaluation_frequency=problem.num_rounds,
            train_cohort_size=problem.num_clients,
            val_cohort_size=0,
        ),
        SimulatedBackend(training_data=data, val_data=data, postprocessors=[WeightByDatapoints()]),
        model,
        NNTrainHyperParams(
            local_num_epochs=1, local_learning_rate=CLIENT_RATE, local_batch_size=problem.batch_size
        ),
        callbacks=[_Paced(pace)],
    )


class _Module(torch.nn.Module):
    def __init__(self, name: str):
        super().__init__()
        self._network, self._loss_fn = network(name), torch.nn.CrossEntropyLoss()

    def loss(self, signals: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.train()
        return self._loss_fn(self._network(signals), labels)

    def metrics(self, signals: torch.Tensor, labels: torch.Tensor) -> dict[str, Any]:
        raise NotImplementedError("nothing is evaluated here")


class _FedAvgWithoutEvaluation(FederatedAveraging):
    def get_next_central_contexts(self, *arguments: Any, **named: Any) -> Any:
        contexts, *others = super().get_next_central_contexts(*arguments, **named)
        silent = contexts and tuple(
            dataclasses.replace(context, do_evaluation=False) for context in contexts
        )
        return silent, *others


class _Paced(TrainingProcessCallback):
    def __init__(self, pace: Pace):
        self._pace = pace

    def after_central_iteration(
        self, aggregate_metrics: Any, model: Any, *, central_iteration: int
    ) -> Any:
        weights = [value.detach().numpy() for value in model.pytorch_model.parameters()]
        self._pace.finish_round(weights, software=f"pfl {version('pfl')}")
        return False, Metrics()
