"""Each replicated protocol, and one with noise and an error, on virtual patients.

Marked, without guarantee.
"""

import json
import math

import pytest

from ecgexp.config.compose import load_experiment
from ecgexp.experiment.run import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:privacy.delta=4e-06 times"),
]

DATA = ["dataset=synthetic", "dataset.num_patients=12", "dataset.minutes=0.8"]
IMAGES = ["model.filters=[4,4]", "model.dense_units=4", "features.size=16"]
CASES = {
    "central": [
        "experiment=replication/central",
        *IMAGES,
        "augmentation.steps.0.crop_size=12",
        "trainer.epochs=1",
    ],
    "dp": [
        "experiment=replication/dp",
        "model.filters=[4,4]",
        "model.kernel_sizes=[5,3]",
        "trainer.epochs=1",
    ],
    "federated": [
        "experiment=replication/federated",
        *IMAGES,
        "~dataset.records",
        "trainer.num_rounds=2",
    ],
    "noisy": [
        "experiment=replication/dp",
        "model.filters=[4,4]",
        "model.kernel_sizes=[5,3]",
        "trainer.epochs=1",
        "protocol_errors.noise_never_runs=false",
        "protocol_errors.batch_norm_under_dp=false",
    ],
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Name of a case -> its result, folder and experiment."""
    cache, runs = tmp_path_factory.mktemp("cache"), {}
    for name, words in CASES.items():
        folder = tmp_path_factory.mktemp(name)
        experiment = load_experiment([*words, *DATA, f"data.cache_dir={cache}", "tracking=none"])
        runs[name] = run(experiment, folder), folder, experiment
    return runs


@pytest.mark.parametrize("name", CASES)
def test_run_with_protocol_errors_has_no_guarantee(finished, name):
    result, folder, experiment = finished[name]
    stored = json.loads((folder / "result.json").read_text())
    assert stored["marks"]["protocol_errors"]["on"] == list(experiment.protocol_errors.names)
    assert stored["privacy"] is None
    assert json.loads((folder / "run.json").read_text())["tags"]["protocol_errors"] == ", ".join(
        experiment.protocol_errors.names
    )
    assert not [key for key in result.metrics if key.startswith("privacy/")]
    assert "privacy/" not in (folder / "metrics.jsonl").read_text()
    assert not list(folder.rglob("privacy_statement.txt"))
    assert not list(folder.rglob("privacy.json"))
    assert 0 <= result.metrics["test/accuracy"] <= 1


def test_printed_epsilon_is_reported_beside_the_one_that_ran(finished):
    stored = json.loads((finished["dp"][1] / "result.json").read_text())
    assert stored["marks"]["protocol_errors"]["epsilon_that_ran"] == "infinite"
    assert (
        stored["metrics"]["replication/epsilon_as_printed"]
        < stored["metrics"]["replication/epsilon_had_it_run"]
    )
    assert "replication/epsilon_that_ran" not in stored["metrics"]


def test_noise_with_a_protocol_error_has_epsilon_no_guarantee(finished):
    result = finished["noisy"][0]
    assert math.isfinite(result.metrics["replication/epsilon_that_ran"])
    assert (
        result.metrics["replication/epsilon_that_ran"]
        == result.metrics["replication/epsilon_had_it_run"]
    )


def test_the_last_round_was_not_run(finished):
    lines = [
        json.loads(line)
        for line in (finished["federated"][1] / "metrics.jsonl").read_text().splitlines()
    ]
    assert [line["step"] for line in lines if line["step"] is not None] == [1]
