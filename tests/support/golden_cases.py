"""Small federated trainings whose rounds TFF's own executor has computed once.

`scripts/make_tff_goldens.py` wrote the results: weights to `tff_goldens.npz`, everything else to
`tff_goldens.json`.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
from clients import PLAIN, patient, train

from ecgexp.models.cnn1d import Cnn1d

WEIGHTS = Path(__file__).with_name("tff_goldens.npz")
FACTS = WEIGHTS.with_suffix(".json")
NUM_ROUNDS = 2
MODEL = Cnn1d(
    filters=(4,),
    kernel_sizes=(5,),
    pooled_length=4,
    dense_units=4,
    normalization="none",
    dropout=PLAIN.dropout,
)

# What the trainer is set to; `dropout` is the model's.
CASES = {
    "fedavg": {"client_epochs": 2, "server_momentum": 0.5},
    "fedprox, cohorts": {
        "algorithm": "fedprox",
        "proximal_strength": 1.0,
        "sampling": "fixed",
        "clients_per_round": 2,
    },
    "fedsgd, secure": {"algorithm": "fedsgd", "aggregator": "secure"},
    "fedadam": {"algorithm": "fedadam"},
    "fedyogi": {"algorithm": "fedyogi"},
    "fedadagrad": {"algorithm": "fedadagrad"},
    "mime_lite": {"algorithm": "mime_lite", "client_momentum": 0.9},
    "mime_lite, schedule, robust": {
        "algorithm": "mime_lite",
        "client_momentum": 0.9,
        "client_schedule": "cosine",
        "aggregator": "robust",
    },
    "adam at clients, schedules": {
        "client_optimizer": "adam",
        "client_learning_rate": 0.01,
        "client_schedule": "cosine",
        "server_schedule": "cosine",
    },
    # Updates longer than 1, which these two begin to clip at.
    "robust": {"aggregator": "robust", "client_learning_rate": 1.0, "client_epochs": 3},
    "secure": {"aggregator": "secure", "client_learning_rate": 1.0, "client_epochs": 2},
    "compressed": {"aggregator": "compressed"},
    "dropout": {"dropout": 0.5},
    "an adapting clip and noise": {
        "clipping": "adaptive",
        "clipped_count_stddev": 1.0,
        "privacy": {"noise_multiplier": 0.3, "l2_norm_clip": 0.05},
    },
}

# Aggregated by TFF's and TF-Privacy's own clipping, where `CASES` clips by ours: the two must agree
# where no noise is added.
CLIPPED = {
    "a fixed clip": {"privacy": {"l2_norm_clip": 0.05}},
    "an adapting clip": {"clipping": "adaptive", "privacy": {"l2_norm_clip": 0.05}},
}


@dataclasses.dataclass(frozen=True)
class StartingFrom:
    """`Cnn1d` with given weights, so that no golden depends on an initializer."""

    model: Cnn1d
    weights: tuple[np.ndarray, ...]

    def build(self, shapes, num_classes):
        import tensorflow as tf

        model = self.model.build(shapes, num_classes)
        if tf.executing_eagerly():
            model.set_weights(self.weights)
        return model


def train_case(data, settings, start):
    """Every round's `EpochResult`.

    Args:
      data: see `clients.assign`.
      settings: of a case.
      start: the model's first weights.
    """
    settings = dict(settings)
    model = dataclasses.replace(MODEL, dropout=settings.pop("dropout", 0.0))
    if "privacy" in settings:
        settings["privacy"] = patient(noise_seed=3, **settings["privacy"])
    return train(data, num_rounds=NUM_ROUNDS, model=StartingFrom(model, tuple(start)), **settings)[
        0
    ]


def flat(weights):
    return np.concatenate([np.ravel(part) for part in weights])


def read():
    """({case: (rounds, weights) float32}, the model's first weights, what else was found)."""
    with np.load(WEIGHTS, allow_pickle=False) as arrays:
        found = dict(arrays)
    start = [
        found.pop(f"start/{index}")
        for index in range(sum(name.startswith("start/") for name in found))
    ]
    return found, start, json.loads(FACTS.read_text(encoding="utf-8"))
