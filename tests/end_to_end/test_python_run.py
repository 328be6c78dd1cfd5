"""`ecgexp.run` twice in one process, and what `ecgexp.load_run` then reads."""

import logging
import os
import signal
import sys

import numpy as np
import pytest
from smallest_run import SMALLEST

import ecgexp
from ecgexp.config import load_experiment
from ecgexp.privacy.recorded_losses import Losses
from ecgexp.sweeps.identity import command

SMALL = [*SMALLEST, "trainer.epochs=1"]
PRIVATE = [
    "trainer=dp",
    "trainer.expected_batch_size=64",
    "privacy.noise_multiplier=1.1",
    "tracking=none",
]


def state():
    root = logging.getLogger()
    signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    hooks = (sys.excepthook, sys.unraisablehook)
    return dict(os.environ), os.getcwd(), signals, list(root.handlers), root.level, hooks


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A centralized run in MLflow and a private one, and the state of the process around them."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("python")
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        before = state()
        found = [ecgexp.run(SMALL), ecgexp.run([*SMALL, *PRIVATE], folder="mine")]
        yield folder, found, before, state()


def test_python_run_leaves_the_process_as_it_was(made):
    _, _, before, after = made
    assert after == before


def test_python_run_is_that_of_the_command(made):
    folder, (run, private), _, _ = made
    assert run.folder.parent == folder / "outputs" / "ecgexp"
    assert private.folder == folder / "mine"
    assert (run.folder / ".hydra" / "overrides.yaml").is_file()
    assert ecgexp.load_run(run.run_id[:12]).folder == run.folder
    assert ecgexp.load_run("latest").status == "FINISHED"
    commands = dict(zip(ecgexp.runs()["folder"], ecgexp.runs()["command"], strict=True))
    assert commands[str(run.folder)] == command(SMALL)


def test_python_run_gives_its_parts(made):
    _, (run, private), _, _ = made
    assert run.settings["model"]["_target_"] == "ecgexp.models.Cnn1d"
    assert list(run.history.index) == [1]
    assert np.isfinite(run.history["train/loss"]).all()
    assert set(run.predictions["split"]) == {"test", "validation"}
    model = run.model
    found = model.predict_probabilities(np.zeros((2, model.window, model.leads), np.float32))
    assert found.shape == (2, len(model.class_names))
    assert private.privacy["guarantee"]
    assert "train/loss" not in private.history


def test_private_python_run_is_in_the_list_of_losses(made):
    folder, (_, private), _, _ = made
    experiment = load_experiment([*SMALL, *PRIVATE])
    losses = Losses(experiment.tracking.private_dir(folder)).all()
    assert str(private.folder) in [loss.run_dir for loss in losses]
