"""The networks and local training of `federated.py` in PyTorch; needs torch.

Flower, pfl and a plain loop use them.
"""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from federated_pace import CLIENT_RATE, NUM_CLASSES, Problem, arrays
from torch import nn


def network(name: str) -> nn.Module:
    """Returns `cnn1d` or `cnn1d_small` with the layers and weights of the Keras model."""
    torch.manual_seed(0)
    if name == "cnn1d":
        return _cnn(
            (32, 64, 96, 128),
            (7, 5, 5, 3),
            nn.AdaptiveAvgPool1d(1),
            positions=1,
            dense=128,
            rate=0.2,
        )
    return _cnn(
        (16, 32, 32), (7, 5, 5), nn.AvgPool1d(4, ceil_mode=True), positions=12, dense=32, rate=0.0
    )


def _cnn(
    filters: Any, kernels: Any, pool: nn.Module, *, positions: int, dense: int, rate: float
) -> nn.Module:
    layers, channels = [], 1
    for block, (width, kernel) in enumerate(zip(filters, kernels, strict=True)):
        layers.append(nn.Conv1d(channels, width, kernel, padding="same"))
        layers += [nn.MaxPool1d(2)] if block < len(filters) - 1 else []
        layers += [nn.GroupNorm(8, width)] if rate else []  # the small one has neither
        layers.append(nn.ReLU())
        channels = width
    layers += [pool, nn.Flatten(), nn.Linear(channels * positions, dense), nn.ReLU()]
    layers += [nn.Dropout(rate)] if rate else []
    return nn.Sequential(*layers, nn.Linear(dense, NUM_CLASSES))


def tensors(problem: Problem, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """(beats, 1, window) signals and (beats,) labels of these rows."""
    signals, labels = arrays(problem)
    return torch.from_numpy(signals[rows].transpose(0, 2, 1).copy()), torch.from_numpy(labels[rows])


def train_client(
    model: nn.Module, signals: torch.Tensor, labels: torch.Tensor, batch_size: int
) -> float:
    """One epoch of SGD in a fresh order, in place; the last batch's loss."""
    optimizer, loss_fn = torch.optim.SGD(model.parameters(), CLIENT_RATE), nn.CrossEntropyLoss()
    model.train()
    for rows in torch.randperm(len(labels)).split(batch_size):
        optimizer.zero_grad()
        loss = loss_fn(model(signals[rows]), labels[rows])
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def rounds(problem: Problem) -> Iterator[list[np.ndarray]]:
    """FedAvg in plain PyTorch; yields the global weights after each round."""
    model = network(problem.model)
    held = [tensors(problem, rows) for rows in problem.clients.values()]
    weights = copy.deepcopy(model.state_dict())
    for _ in range(problem.num_rounds):
        total = {name: torch.zeros_like(value) for name, value in weights.items()}
        for signals, labels in held:
            model.load_state_dict(weights)
            train_client(model, signals, labels, problem.batch_size)
            for name, value in model.state_dict().items():
                total[name] += value * (len(labels) / (problem.num_clients * problem.beats))
        weights = total
        yield [value.numpy() for value in weights.values()]
