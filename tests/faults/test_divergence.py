"""Training with NaN or infinite values stops with epoch and remedy, and keeps its checkpoint."""

import json

import preloaded
import pytest

from ecgexp.training.checkpointing.store import Checkpoints

SMALL = (
    "model=cnn1d_small",
    "dataset.num_patients=4",
    "num_resamples=0",
    "tracking=none",
    "hydra.run.dir=run",
)

# The third epoch's weights are NaN, as after an update that explodes.
WITH_A_FAULT = """
from dataclasses import replace
import numpy as np
from ecgexp.training.centralized import Centralized

train = Centralized.train

def explodes(self, *args, **kwargs):
    for progress in train(self, *args, **kwargs):
        bad = [np.full_like(weight, np.nan) for weight in progress.weights()]
        yield replace(progress, weights=lambda: bad) if progress.step == 3 else progress

Centralized.train = explodes
from ecgexp.cli.run import main
main()
"""

pytestmark = [pytest.mark.tf, pytest.mark.slow]


def run(*words, cwd, code=None):
    return preloaded.run(*SMALL, *words, cwd=cwd, code=code)


def test_diverged_training_stops_and_keeps_the_last_epoch(tmp_path):
    done = run("trainer.epochs=5", code=WITH_A_FAULT, cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ecgexp: trainer.learning_rate=")
    assert "diverged in epoch 3, epoch 2 was the last finite one: " in last
    assert "weights are NaN or infinite; use a smaller one, e.g. trainer.learning_rate=" in last
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "FAILED"
    assert Checkpoints(tmp_path / "run" / "checkpoints").newest().step == 2


def test_diverged_training_names_a_too_large_rate(tmp_path):
    done = run(
        "trainer.epochs=2", "trainer.optimizer=sgd", "trainer.learning_rate=1e30", cwd=tmp_path
    )
    assert done.returncode == 1
    assert "diverged in epoch 1, there was no finite epoch before it" in done.stderr
    assert "e.g. trainer.learning_rate=1e+29" in done.stderr
