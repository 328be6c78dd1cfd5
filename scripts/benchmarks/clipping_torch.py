"""The two networks of `clipping.py` in PyTorch, plain and with Opacus; needs torch and opacus.

These packages may be in a separate environment, because this measurement does not import
TensorFlow.
"""

from collections.abc import Callable

import torch
from opacus.grad_sample import GradSampleModule
from opacus.grad_sample.grad_sample_module_fast_gradient_clipping import (
    GradSampleModuleFastGradientClipping,
)
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from torch import nn

Step = Callable[[], None]


def torch_steps(name: str, method: str, rows: int, classes: int) -> tuple[Step, Step, int]:
    """(plain step, step of `method`, rows of a batch) for `cnn1d` or `cnn2d` on random data."""
    torch.manual_seed(0)
    build, shape = {"cnn1d": (_cnn1d, (1, 180)), "cnn2d": (_cnn2d, (1, 64, 64))}[name]
    inputs, labels = torch.randn(rows, *shape), torch.randint(0, classes, (rows,))
    plain = _plain(build(classes), inputs, labels)
    if method == "torch plain":
        return plain, plain, rows
    make = {"opacus hooks": _hooks, "opacus ghost": _ghost}[method]
    return plain, make(build(classes), inputs, labels), rows


def _plain(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> Step:
    optimizer, loss_fn = torch.optim.SGD(model.parameters(), lr=0.01), nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        loss_fn(model(inputs), labels).backward()
        optimizer.step()

    return step


def _hooks(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> Step:
    private = GradSampleModule(model)
    optimizer = DPOptimizer(
        torch.optim.SGD(private.parameters(), lr=0.01),
        noise_multiplier=0.0,
        max_grad_norm=1.0,
        expected_batch_size=len(labels),
    )
    loss_fn = nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        loss_fn(private(inputs), labels).backward()
        optimizer.step()

    return step


def _ghost(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> Step:
    private = GradSampleModuleFastGradientClipping(
        model, max_grad_norm=1.0, use_ghost_clipping=True
    )
    optimizer = DPOptimizerFastGradientClipping(
        torch.optim.SGD(private.parameters(), lr=0.01),
        noise_multiplier=0.0,
        max_grad_norm=1.0,
        expected_batch_size=len(labels),
    )
    loss_fn = DPLossFastGradientClipping(private, optimizer, nn.CrossEntropyLoss(), "mean")

    def step() -> None:
        optimizer.zero_grad()
        loss_fn(private(inputs), labels).backward()
        optimizer.step()

    return step


def _cnn1d(classes: int) -> nn.Module:
    layers, channels = [], 1
    for block, (filters, kernel) in enumerate(zip((32, 64, 96, 128), (7, 5, 5, 3), strict=True)):
        layers += [
            nn.Conv1d(channels, filters, kernel, padding="same"),
            nn.GroupNorm(8, filters),
            nn.ReLU(),
        ]
        layers += [nn.MaxPool1d(2)] if block < 3 else [nn.AdaptiveAvgPool1d(1), nn.Flatten()]
        channels = filters
    return nn.Sequential(
        *layers, nn.Linear(128, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, classes)
    )


def _cnn2d(classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 64, 4, padding="same"),
        nn.GroupNorm(8, 64),
        nn.ReLU(),
        nn.Conv2d(64, 64, 4, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(4),
        nn.Dropout(0.2),
        nn.Conv2d(64, 256, 4, padding="same"),
        nn.ReLU(),
        nn.Conv2d(256, 256, 4, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(16384, 256),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(256, classes),
    )
