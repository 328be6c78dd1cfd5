"""Runs read back from a store and from their folders."""

import json
import math
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from ecgexp.analysis.find_runs import PARENT_TAG, StoredRun, children_of, find_run, search_runs
from ecgexp.settings.declaration import DataError
from ecgexp.tracking import JsonlTracker, kept_files
from ecgexp.tracking.mlflow.existing_store import default_uri

HOSTILE = ["../x", "/etc/passwd", "a/../../x", "..", "a\\b", "", ".", "/"]


@pytest.fixture
def experiment(mlflow_store, request):
    """An experiment of the test's own in the shared store."""
    name = request.node.name
    return replace(mlflow_store, experiment_id=mlflow_store.client.create_experiment(name)), name


def start(store, name="run", **tags):
    from ecgexp.tracking.mlflow.tracker import MlflowTracker

    tracker = MlflowTracker.create(store, name)
    tracker.set_tags(tags)
    return tracker


@pytest.fixture(scope="module")
def full_run(mlflow_store):
    """A finished run with a bit of everything; module-wide, since all only read it."""
    tracker = start(mlflow_store, "noise_multiplier=1.0 seed=2")
    tracker.log_params(
        {"seed": 2, "trainer.momentum": None, "device.xla": False, "model.filters": "[4, 8]"}
    )
    for step, loss in ((1, 0.5), (2, 0.25)):
        tracker.log_metrics({"train/loss": loss}, step=step)
    tracker.log_metrics({"test/f1/V": 0.75, "test/f1/F": math.nan})
    tracker.set_tags({"dataset.digest": "d1", PARENT_TAG: "abc"})
    tracker.log_dict({"status": "FINISHED", "metrics": {"a": 1.0}}, "result.json")
    tracker.log_text("deep", "tables/by/client.csv")
    tracker.log_text("not { json", "broken.json")
    tracker.finish("FINISHED")
    return tracker.run_id


@pytest.fixture
def full_folder(tmp_path):
    """The same in a folder."""
    tracker = JsonlTracker(tmp_path / "2026-01-02_run", run_id=None)
    tracker.log_params(
        {"seed": 2, "trainer.momentum": None, "device.xla": False, "model.filters": "[4, 8]"}
    )
    for step, loss in ((1, 0.5), (2, 0.25)):
        tracker.log_metrics({"train/loss": loss}, step=step)
    tracker.log_metrics({"test/f1/V": 0.75, "test/f1/F": math.nan})
    tracker.set_tags({"dataset.digest": "d1", PARENT_TAG: "abc"})
    tracker.log_dict({"status": "FINISHED", "metrics": {"a": 1.0}}, "result.json")
    tracker.log_text("deep", "tables/by/client.csv")
    tracker.log_text("not { json", "broken.json")
    tracker.finish("FINISHED")
    return tmp_path / "2026-01-02_run"


@pytest.fixture(params=["store", "elsewhere", "folder"])
def run(request, mlflow_store, monkeypatch) -> StoredRun:
    """The full run.

    From a store with its files on this machine, with its files elsewhere, and from a folder.
    """
    if request.param == "folder":
        return find_run(str(request.getfixturevalue("full_folder")))
    if request.param == "elsewhere":
        monkeypatch.setattr(kept_files, "_on_this_machine", lambda location: None)
    return find_run(request.getfixturevalue("full_run"), uri=mlflow_store.uri)


def test_settings_and_tags_are_read_as_text_alike(run):
    assert run.params == {
        "seed": "2",
        "trainer.momentum": "None",
        "device.xla": "False",
        "model.filters": "[4, 8]",
    }
    assert run.tags["dataset.digest"] == "d1"
    assert (run.status, run.parent_id) == ("FINISHED", "abc")


def test_of_each_metric_the_last_value_counts(run):
    assert run.metrics["train/loss"] == 0.25
    assert run.metrics["test/f1/V"] == 0.75
    assert math.isnan(run.metrics.get("test/f1/F", math.nan))


def test_artifacts_are_found_in_subfolders_too(run):
    assert run.read_json("result.json") == {"status": "FINISHED", "metrics": {"a": 1.0}}
    assert run.artifact("tables/by/client.csv").read_text() == "deep"
    assert run.artifact("tables/by").is_dir()
    assert run.artifact("./tables//by/client.csv").read_text() == "deep"


@pytest.mark.parametrize(
    "path",
    [
        "no.json",
        "tables/no.csv",
        "no/result.json",
        "result.json/x",
        "model",
        "model/model.json",
        "%2e%2e/x",
        "file:x",
        "~/x",
    ],
)
def test_what_a_run_has_not_is_none(run, path):
    assert run.artifact(path) is None
    assert run.read_json(path) is None


@pytest.mark.parametrize("path", HOSTILE)
def test_a_path_that_leaves_the_run_is_refused(run, path):
    with pytest.raises(ValueError, match="must be relative and stay inside the run"):
        run.artifact(path)
    with pytest.raises(ValueError, match="must be relative and stay inside the run"):
        run.read_json(path)


@pytest.mark.parametrize("path", ["broken.json", "tables"])
def test_what_is_no_json_is_refused_by_its_name(run, path):
    with pytest.raises(DataError, match=rf"{path} is (damaged|a folder).*leave run .* out"):
        run.read_json(path)


def test_a_run_of_a_store_knows_its_name_and_hour(full_run, mlflow_store):
    found = find_run(full_run, uri=mlflow_store.uri)
    kept = mlflow_store.client.get_run(full_run).info
    assert (found.run_id, found.name) == (full_run, "noise_multiplier=1.0 seed=2")
    assert found.started == kept.start_time / 1000 > 1.7e9


def test_files_on_this_machine_are_not_copied(full_run, mlflow_store):
    run = find_run(full_run, uri=mlflow_store.uri)
    assert run.artifact("result.json") == run.artifact("result.json")
    assert "artifacts" in run.artifact("result.json").parts


def test_downloaded_files_are_removed_with_the_process(full_run, mlflow_store, monkeypatch):
    monkeypatch.setattr(kept_files, "_on_this_machine", lambda location: None)
    run = find_run(full_run, uri=mlflow_store.uri)
    assert str(run.artifact("tables/by/client.csv")).startswith(kept_files._downloads().name)
    assert run.artifact("tables/by/client.csv") == run.artifact("tables/by/client.csv")


@pytest.mark.parametrize(
    ("location", "folder"),
    [
        ("file:///a/b%20c/artifacts", "/a/b c/artifacts"),
        ("file://localhost/a", "/a"),
        ("/a/b%20c", "/a/b%20c"),
        ("file://other/a", None),
        ("mlflow-artifacts:/1/2/artifacts", None),
        ("s3://bucket/a", None),
    ],
)
def test_local_addresses_differ_from_remote_ones(location, folder):
    found = kept_files._on_this_machine(location)
    assert (None if found is None else str(found)) == folder


def test_run_without_mlflow_is_named_by_its_folder(full_folder):
    found = find_run(str(full_folder))
    run = json.loads((full_folder / "run.json").read_text())
    assert (found.run_id, found.name) == (str(full_folder), "2026-01-02_run")
    assert found.started == run["started"] > 1.7e9
    (full_folder / "run.json").write_text(
        json.dumps(run | {"run_id": "cafe", "tags": {"mlflow.runName": "named"}})
    )
    found = find_run(str(full_folder))
    assert (found.run_id, found.name, found.parent_id) == ("cafe", "named", None)


def test_a_run_that_still_runs_is_read(tmp_path):
    tracker = JsonlTracker(tmp_path / "run")
    tracker.log_metrics({"train/loss": 0.5}, step=1)
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"time": 1.0, "step": 2, "metr')  # a line under way
    found = find_run(str(tmp_path / "run"))
    assert (found.status, found.metrics) == ("RUNNING", {"train/loss": 0.5})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        "[]",
        "null",
        '{"run_id": "a"}',
        '{"run_id": 1, "tags": [], "status": "", "params": {}}',
    ],
)
def test_a_folder_of_something_else_is_refused_by_its_name(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(DataError, match=f"{tmp_path}/run.json is damaged: .*restore the file"):
        find_run(str(tmp_path))


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not the folder of a run: it has no run.json"):
        find_run(str(tmp_path))


@pytest.mark.parametrize(
    "line",
    [b"{\n", b"[]\n", b"3\n", b'{"step": 1}\n', b'{"step": 1, "metrics": 2}\n', b"\xff\xfe\n"],
)
def test_broken_metrics_are_refused_by_their_file(full_folder, line):
    (full_folder / "metrics.jsonl").write_bytes(line)
    with pytest.raises(
        DataError, match=r"metrics\.jsonl is damaged in line 1: .*; remove the line"
    ):
        find_run(str(full_folder))


@pytest.mark.parametrize(
    "name", ["0" * 32, "no run", "", "%2e%2e", "x' OR 1=1", "a" * 5000, "nul\0"]
)
def test_an_unknown_run_is_refused_by_its_name(mlflow_store, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        DataError, match="is neither the folder of a run nor a run of|is not the folder of a run"
    ):
        find_run(name, uri=mlflow_store.uri)


def test_missing_folder_is_refused_without_a_store(tmp_path):
    with pytest.raises(DataError, match=r"there is no folder outputs/no; use the folder"):
        find_run("outputs/no", uri=f"sqlite:///{tmp_path}/no.db")


def test_default_store_is_of_the_environment_or_this_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    assert default_uri() == "sqlite:///elsewhere.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert default_uri() == "sqlite:///mlruns/mlflow.db"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        DataError, match=rf"there are no runs: {tmp_path}/mlruns/mlflow.db does not exist"
    ):
        search_runs()
    assert not (tmp_path / "mlruns").exists()


def test_a_relative_store_counts_from_here(mlflow_store, full_run, monkeypatch):
    from pathlib import Path

    file = Path(mlflow_store.uri.removeprefix("sqlite:///"))
    monkeypatch.chdir(file.parent)
    assert find_run(full_run, uri=f"sqlite:///{file.name}").run_id == full_run


def test_a_file_that_is_no_store_is_refused_and_stays_as_it_was(tmp_path):
    files = {"empty.db": b"", "junk.db": b"not a database " * 100}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE mine (a)")
    other.close()
    before = (tmp_path / "other.db").read_bytes()
    for name, why in (
        ("empty.db", "is not a store of MLflow"),
        ("junk.db", "cannot be read"),
        ("other.db", "is not a store"),
    ):
        for ask in (search_runs, lambda uri: find_run("abc", uri=uri)):
            with pytest.raises(DataError, match=f"{name} {why}"):
                ask(uri=f"sqlite:///{tmp_path}/{name}")
    assert {name: (tmp_path / name).read_bytes() for name in files} == files
    assert (tmp_path / "other.db").read_bytes() == before


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        (
            "mlruns",
            "--store mlruns: it is a folder, which MLflow no longer reads; use --store "
            "sqlite:///FOLDER/mlflow.db",
        ),
        ("file:///somewhere", "--store file:///somewhere: it is a folder"),
        ("foo://x", "--store foo://x: the store cannot be used"),
        (
            "http://127.0.0.1:9",
            "--store http://127.0.0.1:9: the store cannot be used: Connection refused; "
            "start the server, or",
        ),
        (
            "http://me:s3cret@127.0.0.1:9",
            r"--store http://\*\*\*@127.0.0.1:9: the store cannot be used",
        ),
    ],
)
def test_unusable_store_is_one_line_without_passwords(uri, why):
    with pytest.raises(DataError, match=why) as refused:
        search_runs(uri=uri)
    assert "\n" not in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert "tracking=none" not in str(refused.value)


def test_runs_of_an_experiment_come_oldest_first(experiment):
    store, name = experiment
    ids = []
    for started in (3000, 1000, 2000):
        ids.append(store.client.create_run(store.experiment_id, start_time=started).info.run_id)
    assert [run.run_id for run in search_runs(experiment=name, uri=store.uri)] == [
        ids[1],
        ids[2],
        ids[0],
    ]
    assert set(ids) <= {run.run_id for run in search_runs(uri=store.uri)}


def test_an_experiment_without_runs_has_none(experiment, full_run):
    store, name = experiment
    assert search_runs(experiment=name, uri=store.uri) == []


def test_unknown_experiment_is_refused_with_known_ones(experiment):
    store, name = experiment
    with pytest.raises(DataError, match=f"there is no experiment no-such; use one of: .*{name}"):
        search_runs(experiment="no-such", uri=store.uri)


def test_a_filter_picks_runs(experiment):
    store, name = experiment
    good, _ = start(store, "good"), start(store, "bad")
    good.log_metrics({"test/macro_f1": 0.7})
    found = search_runs(
        experiment=name, filter_string="metrics.`test/macro_f1` > 0.5", uri=store.uri
    )
    assert [run.name for run in found] == ["good"]


@pytest.mark.parametrize("words", ["nonsense", "metrics.a >", "tags.x = 'a", "x'"])
def test_a_filter_that_mlflow_does_not_understand_is_one_line(mlflow_store, words):
    with pytest.raises(
        DataError, match="--filter .*: MLflow cannot parse it: .*; use its search language"
    ) as refused:
        search_runs(filter_string=words, uri=mlflow_store.uri)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_children_are_those_of_one_parent_oldest_first(experiment):
    store, _ = experiment
    parent, other = start(store, "parent"), start(store, "other")
    names = ["seed=1", "seed=2"]
    for name in names:
        start(store, name, **{PARENT_TAG: parent.run_id})
    start(store, "another user's", **{PARENT_TAG: other.run_id})
    found = children_of(find_run(parent.run_id, uri=store.uri), uri=store.uri)
    assert [run.name for run in found] == names
    assert {run.parent_id for run in found} == {parent.run_id}
    assert children_of(found[0], uri=store.uri) == []


@pytest.mark.parametrize("name", ["it's", "x' OR tags.a LIKE '%", "plain", "%", 'a "b"'])
def test_a_folders_name_is_no_filter(mlflow_store, full_run, tmp_path, name):
    JsonlTracker(tmp_path / name)
    assert children_of(find_run(str(tmp_path / name)), uri=mlflow_store.uri) == []


def test_a_run_whose_start_nobody_knows_is_read(mlflow_store, tmp_path):
    run_id, copy = start(mlflow_store).run_id, tmp_path / "mlflow.db"
    shutil.copy(mlflow_store.uri.removeprefix("sqlite:///"), copy)
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("UPDATE runs SET start_time = NULL WHERE run_uuid = ?", (run_id,))
        connection.commit()
    assert find_run(run_id, uri=f"sqlite:///{copy}").started == 0.0


def test_the_model_of_a_run_is_found_beside_its_artifacts(mlflow_store, tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text('{"class_names": ["N", "V"]}')
    tracker = start(mlflow_store, "with a model")
    log_folder_as_model(mlflow_store, tracker.run_id, tmp_path / "model")
    run = find_run(tracker.run_id, uri=mlflow_store.uri)
    for _ in ("on this machine", "elsewhere"):
        assert run.read_json("model/model.json") == {"class_names": ["N", "V"]}
        assert run.artifact("model").is_dir()
        assert run.artifact("model/weights.safetensors") is None
        assert run.artifact("models") is None
        monkeypatch.setattr(kept_files, "_on_this_machine", lambda location: None)


def log_folder_as_model(store, run_id, folder):
    """As `ecgexp.tracking.mlflow.model` does, without a network.

    The folder is `artifacts/model/` of the logged model.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    logged = store.client.create_logged_model(
        store.experiment_id, name="model", source_run_id=run_id
    )
    packed = folder.parent / "packed" / "artifacts"
    packed.mkdir(parents=True)
    folder.rename(packed / "model")
    (packed.parent / "MLmodel").write_text("flavors: {}\n")
    store.client.log_model_artifacts(logged.model_id, str(packed.parent))
    store.client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    store.client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
