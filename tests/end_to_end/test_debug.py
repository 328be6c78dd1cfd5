"""`debug=`: whole short runs, marked, without test beats, and with their privacy loss recorded."""

import csv
import gzip
import json
import math

import pytest
from smallest_run import SMALLEST

from ecgexp.config.compose import load_experiment
from ecgexp.experiment.run import run
from ecgexp.privacy.publication import is_published
from ecgexp.privacy.recorded_losses import Losses
from ecgexp.tracking.local.run_json import read_run

SMALL = [*SMALLEST, "split=intra_patient", "tracking=none"]


def test_overfit_ends_when_the_beats_are_fitted(tmp_path, capsys):
    preset = ["debug=overfit", "debug.train_beats=12", "trainer.learning_rate=0.01"]
    experiment = load_experiment([*SMALL, "model.filters=[16]", "model.dense_units=32", *preset])
    result = run(experiment, tmp_path)
    verdict = json.loads((tmp_path / "overfit.json").read_text())
    assert verdict["fits"]
    assert verdict["beats"] == 12
    assert verdict["epoch"] < experiment.trainer.epochs
    said = capsys.readouterr()
    assert "yes, the model fits its 12 training beats" in said.out
    assert said.out.splitlines()[-1].endswith("debug=overfit: scores mean nothing")
    assert said.err.startswith("debug=overfit: scores mean nothing")
    assert result.marks == {"debug": "overfit"}
    assert read_run(tmp_path)["tags"]["debug"] == "overfit"
    assert not any(name.startswith("test/") for name in result.metrics)
    assert result.test_evaluation is None
    assert result.data is not None
    assert sum(result.data["beats"]["test"].values()) == 0


def test_private_debug_run_withholds_what_no_epsilon_covers(tmp_path, capsys):
    private = ["trainer=dp", "privacy.noise_multiplier=1", "trainer.expected_batch_size=4"]
    folder = tmp_path / "run"
    experiment = load_experiment([*SMALL, *private, "debug=profile"])
    result = run(experiment, folder)
    with gzip.open(folder / "private/profile/trace.json.gz", "rt") as file:
        assert json.load(file)["traceEvents"]
    with (folder / "private/profile/operations.csv").open() as file:
        assert math.fsum(float(row["share"]) for row in csv.DictReader(file)) == pytest.approx(1)
    said = capsys.readouterr()
    assert "private/profile/trace.json.gz" in said.out
    assert "time of TensorFlow's operations" not in said.out
    public = [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "private/" not in str(path)
    ]
    assert all(is_published("file", name) for name in public)
    known = Losses(experiment.tracking.private_dir()).all()
    (loss,) = (loss for loss in known if loss.run_dir == str(folder))
    assert loss.spent is not None
    assert result.privacy is not None
    assert loss.spent.event == result.privacy["event"]
