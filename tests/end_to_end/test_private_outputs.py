"""Whole runs with a privacy guarantee.

Every byte that they publish is listed, and none tells of training beats.
"""

import json
import re
import stat
from contextlib import nullcontext

import pytest
from placeholder_figures import drawn_figures
from smallest_run import SMALLEST

from ecgexp.config.compose import for_the_record, load_config, load_experiment
from ecgexp.experiment.run import run
from ecgexp.privacy import publication
from ecgexp.tracking.mlflow.headline import MOST

pytestmark = pytest.mark.slow

RUNS = {
    "beat": [
        "trainer=dp",
        "privacy.noise_multiplier=1",
        "trainer.expected_batch_size=32",
        "trainer.epochs=2",
    ],
    "record": [
        "trainer=dp",
        "privacy=patient",
        "privacy.unit=record",
        "privacy.noise_multiplier=4",
        "trainer.epochs=1",
        "trainer.expected_batch_size=2",
        "grouping.empty_class=drop",
        "dataset.noise=6",  # so that some segments show no usable ECG
        "dataset.quality=drop",
    ],
    "clients": [
        "trainer=federated",
        "privacy=patient",
        "privacy.noise_multiplier=4",
        "trainer.num_rounds=2",
        "trainer.sampling=poisson",
        "trainer.clients_per_round=3",
        "tracking=none",
    ],
}


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """(run, folder) -> what is typed for it."""
    cache = tmp_path_factory.mktemp("cache")

    def of(name, folder):
        store = [
            f"tracking.uri=sqlite:///{folder}/../{name}.db",
            f"tracking.artifact_root={folder}/../artifacts",
        ]
        typed = RUNS[name]
        return [
            *SMALLEST,
            f"data.cache_dir={cache}",
            *([] if "tracking=none" in typed else store),
            *typed,
        ]

    return of


@pytest.fixture(scope="module", params=RUNS)
def made(request, tmp_path_factory, words):
    """The result of a run, its folder, and what it was made of."""
    folder = tmp_path_factory.mktemp(request.param) / "run"
    folder.mkdir()
    typed = words(request.param, folder)
    config = for_the_record(load_config(typed))
    with drawn_figures() if request.param == "beat" else nullcontext():
        result = run(load_experiment(typed), folder, config=config, resolved_yaml="a: 1")
    return result, folder, request.param


def published(folder):
    """Every file that the run publishes, by its name."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path for name, path in files.items() if not name.startswith("private/")}


def read(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def metric_names(path):
    return {name for line in path.read_text().splitlines() for name in json.loads(line)["metrics"]}


def test_every_file_of_a_private_run_is_listed(made):
    _, folder, _ = made
    assert [name for name in published(folder) if not publication.is_published("file", name)] == []
    assert (folder / "private" / "figures" / "learning_curves.png").exists()
    assert not (folder / "checkpoints").exists()


def test_every_metric_tag_parameter_and_key_is_listed(made):
    _, folder, _ = made
    stored = read(folder, "run.json")
    content = {
        name for name, value in read(folder, "model/model.json").items() if value is not None
    }
    assert read(folder, "model/model.json")["classes_without_training_beats"] is None
    for kind, names in (
        ("metric", metric_names(folder / "metrics.jsonl")),
        ("tag", stored["tags"]),
        ("parameter", stored["params"]),
        ("file", stored["artifacts"]),
        ("model content", content),
    ):
        assert len(names) > 3
        assert [name for name in names if not publication.is_published(kind, name)] == [], kind
    assert publication.divide(read(folder, "result.json"))[1] == {}
    assert publication.divide(read(folder, "data.json"), under="data/")[1] == {}
    assert all("train" not in dataset["counts"] for dataset in stored["datasets"])


def test_marked_training_beats_are_in_private(made):
    _, folder, name = made
    shown = read(folder, "data.json")["quality"]
    assert set(shown["marked"]) == {"validation", "test"}
    kept = read(folder, "private/values.json")
    assert set(kept["data"]["quality"]) == {"marked", "left_out"}
    if name == "record":
        assert (folder / "tables" / "test_quality.csv").exists()
        assert sum(kept["data"]["quality"]["left_out"].values()) > 0
        assert (
            "without_marked" in read(folder, "result.json")["quality"]["test"]["scores"]["accuracy"]
        )
        assert "dataset.quality=drop" in kept["notes"]["quality"][0]


def test_what_is_withheld_is_in_private_for_its_owner(made):
    _, folder, name = made
    kept = metric_names(folder / "private" / "metrics.jsonl")
    assert "curve/train/loss" in kept
    assert all(metric.startswith("curve/train/") for metric in kept)
    values = read(folder, "private/values.json")
    assert set(values["data"]) >= {"beats", "patients", "dropped", "notes"}
    assert (folder / "private" / "tables" / "partition.csv").exists() == (name == "clients")
    for path in [folder / "private", *(folder / "private").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_mlflow_has_nothing_that_is_withheld(made):
    result, folder, name = made
    if name == "clients":
        pytest.skip("not tracked")
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder.parent}/{name}.db")
    kept = client.get_run(result.run_id)
    assert len(kept.data.metrics) <= MOST
    for kind, names in (
        ("metric", kept.data.metrics),
        ("tag", kept.data.tags),
        ("parameter", kept.data.params),
    ):
        assert [one for one in names if not publication.is_published(kind, one)] == [], kind
    folders = [None]
    while folders:
        for item in client.list_artifacts(result.run_id, folders.pop()):
            assert item.is_dir or publication.is_published("file", item.path), item.path
            folders += [item.path] if item.is_dir else []
    assert {tag.value for one in kept.inputs.dataset_inputs for tag in one.tags} == {
        "validation",
        "test",
    }


def test_no_published_text_tells_who_was_trained_on(made):
    _, folder, name = made
    table = (
        (folder / "private" / "tables" / "partition.csv").read_text() if name == "clients" else ""
    )
    trained = set(re.findall(r"^(\S+?),train,", table, re.MULTILINE))
    assert trained or name != "clients"
    for path in published(folder).values():
        if path.suffix in (".json", ".jsonl", ".csv", ".md", ".txt", ".log", ".yaml"):
            text = path.read_text(encoding="utf-8")
            assert "in_training" not in text, path
            assert not [
                client for client in trained if re.search(rf"\b{re.escape(client)}\b", text)
            ], path


def test_the_statement_names_what_is_published_and_not_covered(made):
    result, folder, name = made
    text = " ".join(result.privacy["not_covered"])
    assert result.privacy["publish"] == "covered"
    assert "validation and test data" in text
    assert "which units are in the training set" in text
    assert "assumed to be public" in text
    assert ("empty_class=drop" in text) == (name == "record")
    assert ("single clients" in text) == (name == "clients")
    assert "private/" in (folder / "privacy_statement.txt").read_text()


def test_publishing_all_is_said_first_and_keeps_nothing_back(tmp_path, words):
    result = run(load_experiment([*words("clients", tmp_path), "privacy.publish=all"]), tmp_path)
    assert not (tmp_path / "private").exists()
    assert "curve/train/loss" in metric_names(tmp_path / "metrics.jsonl")
    assert "train" in result.data["beats"]
    assert "privacy.publish=all" in result.privacy["not_covered"][0]
    assert {path.name for path in tmp_path.rglob("*.csv")} >= {
        "partition.csv",
        "test_per_client.csv",
    }
