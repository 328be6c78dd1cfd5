"""What only MLflow has: its limits, its inputs, its store."""

import errno
import socket
import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest

from ecgexp.settings.declaration import ConfigError, build
from ecgexp.tracking import DatasetInput
from ecgexp.tracking.settings import MlflowTracking, NoTracking


def open_again(mlflow_store, run_id):
    from ecgexp.tracking.mlflow.tracker import MlflowTracker

    return MlflowTracker.resume(mlflow_store, run_id)


@pytest.fixture
def tracker(mlflow_store):
    from ecgexp.tracking.mlflow.tracker import MlflowTracker

    return MlflowTracker.create(mlflow_store, "noise_multiplier=1.0 seed=2")


def test_settings_cost_no_import_of_mlflow():
    code = (
        "import sys, ecgexp.tracking.settings as s; s.MlflowTracking();"
        "assert not {'mlflow', 'sqlalchemy', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tags_with_names_mlflow_refuses_are_refused_when_built():
    with pytest.raises(ConfigError, match=r"tracking\.tags name 'a=b'"):
        build(MlflowTracking, {"tags": {"a=b": "c"}}, path="tracking")


def test_values_over_mlflows_limit_are_kept_short(tracker, mlflow_store):
    tracker.log_params({"records": "100 " * 3000})
    kept = mlflow_store.client.get_run(tracker.run_id).data.params["records"]
    assert len(kept) == 6000
    assert "[12000 characters, sha256 " in kept


def test_more_than_a_thousand_metrics_of_one_step_are_kept(tracker, mlflow_store):
    tracker.log_metrics({f"test/f1/{i}": i / 2000 for i in range(1234)}, step=1)
    assert len(mlflow_store.client.get_run(tracker.run_id).data.metrics) == 1234


def test_the_dataset_is_an_input_per_split_with_its_counts(tracker, mlflow_store):
    counts = {"train": {"N": 80, "V": 8}, "test": {"N": 20, "V": 2}}
    tracker.log_dataset(
        DatasetInput(
            name="mitdb 1.0.0", digest="ab" * 32, source="http://a:pw@b/mitdb", counts=counts
        )
    )
    inputs = mlflow_store.client.get_run(tracker.run_id).inputs.dataset_inputs
    assert {entry.tags[0].value for entry in inputs} == {"train", "test"}
    assert {entry.dataset.name for entry in inputs} == {"mitdb 1.0.0"}
    assert '"num_beats": 88, "num_beats_N": 80' in " ".join(
        entry.dataset.profile for entry in inputs
    )
    assert all(entry.dataset.digest.startswith("ab" * 8 + "-") for entry in inputs)
    assert "pw" not in inputs[0].dataset.source


def test_another_split_of_the_same_beats_keeps_its_own_counts(mlflow_store):
    from ecgexp.tracking.mlflow.tracker import MlflowTracker

    for beats in (88, 77):
        tracker = MlflowTracker.create(mlflow_store, "split")
        tracker.log_dataset(
            DatasetInput(name="m", digest="cd" * 32, source="s", counts={"train": {"N": beats}})
        )
        entry = mlflow_store.client.get_run(tracker.run_id).inputs.dataset_inputs[0]
        assert f'"num_beats": {beats}' in entry.dataset.profile


def test_a_resumed_run_has_no_point_twice(tracker, mlflow_store):
    tracker.log_params({"seed": 1})
    tracker.log_metrics({"train/loss": 0.5}, step=1)
    tracker.log_metrics({"test/accuracy": 0.5})
    tracker.finish("KILLED", "SIGTERM")
    again = open_again(mlflow_store, tracker.run_id)
    assert mlflow_store.client.get_run(tracker.run_id).info.status == "RUNNING"
    again.log_params({"seed": 1})
    again.log_metrics({"train/loss": 0.5}, step=1)
    again.log_metrics({"train/loss": 0.25}, step=2)
    again.log_metrics({"test/accuracy": 0.5})
    history = mlflow_store.client.get_metric_history(tracker.run_id, "train/loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.25)]
    assert len(mlflow_store.client.get_metric_history(tracker.run_id, "test/accuracy")) == 1
    with pytest.raises(ValueError, match="'seed' already has another value"):
        again.log_params({"seed": 2})


def test_a_run_that_is_not_there_cannot_be_resumed(mlflow_store):
    with pytest.raises(ConfigError, match=rf"tracking\.uri=.*{'0' * 32}.*not found"):
        open_again(mlflow_store, "0" * 32)


def test_start_writes_the_folder_and_the_store(tmp_path):
    tracking = MlflowTracking(tags={"study": "pilot"})
    tracker = tracking.start(run_name="first", run_dir=tmp_path / "run", base_dir=tmp_path)
    tracker.log_text("in words", "privacy/statement.txt")
    tracker.finish("FAILED", "out of memory")
    assert (tmp_path / "mlruns" / "mlflow.db").is_file()
    assert len(list((tmp_path / "mlruns" / "ecgexp").rglob("statement.txt"))) == 1
    assert f'"run_id": "{tracker.run_id}"' in (tmp_path / "run" / "run.json").read_text()

    from mlflow import MlflowClient

    run = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db").get_run(tracker.run_id)
    assert run.info.run_name == "first"
    assert run.info.status == "FAILED"
    assert run.data.tags["status.reason"] == "out of memory"
    assert run.data.tags["study"] == "pilot"
    assert run.data.tags["version.numpy"].startswith("1.26")


def test_hint_names_the_store_only_if_it_is_not_the_default(tmp_path, monkeypatch):
    near = MlflowTracking().start(run_name="x", run_dir=None, base_dir=tmp_path)
    assert near.url_hint == f"ecgexp-ui --store sqlite:///{tmp_path}/mlruns/mlflow.db"
    monkeypatch.chdir(tmp_path)
    assert near.url_hint == "ecgexp-ui"


def test_hint_of_a_server_is_the_table_without_password(mlflow_store):
    from ecgexp.tracking.mlflow.tracker import MlflowTracker

    server = replace(mlflow_store, uri="https://me:hunter2@host/")
    hint = MlflowTracker(server, "a" * 32, params={}, points=()).url_hint
    assert hint.startswith(f"https://***@host/#/experiments/{server.experiment_id}/runs?")
    assert "viewStateShareKey" not in hint
    hint = MlflowTracker(replace(server, has_view=True), "a" * 32, params={}, points=()).url_hint
    assert hint.endswith("viewStateShareKey=ecgexp")


def test_no_tracking_still_writes_the_folder(tmp_path):
    tracker = NoTracking().start(run_name="first", run_dir=tmp_path)
    tracker.log_metrics({"train/loss": 0.5}, step=1)
    tracker.finish("FINISHED")
    assert '"FINISHED"' in (tmp_path / "run.json").read_text()
    assert '"train/loss": 0.5' in (tmp_path / "metrics.jsonl").read_text()
    assert NoTracking().start(run_name="first", run_dir=None).url_hint == "the run was not tracked"


def test_store_created_by_several_processes_is_complete(tmp_path, forked):
    """All of them find no store, and one of them makes it."""

    def one(name):
        tracker = MlflowTracking().start(run_name=name, run_dir=tmp_path / name, base_dir=tmp_path)
        for step in range(1, 21):
            tracker.log_metrics(
                {"curve/validation/loss": 1 / step, "curve/validation/macro_f1": 0.5}, step=step
            )
        tracker.finish("FINISHED")

    children = [forked(partial(one, name)) for name in "abcd"]
    assert [child() for child in children] == [0] * 4
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("ecgexp").experiment_id])
    assert sorted((run.info.run_name, run.info.status) for run in runs) == [
        (name, "FINISHED") for name in "abcd"
    ]
    assert all(
        len(client.get_metric_history(run.info.run_id, "curve/validation/loss")) == 20
        for run in runs
    )


@pytest.fixture
def connections(monkeypatch):
    """The timeouts of all connections that are tried; each fails with `error`, like a real one."""

    class Connections(list):
        error = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    tried = Connections()

    def connect(self, address):
        tried.append(self.gettimeout())
        raise tried.error

    monkeypatch.setattr(socket.socket, "connect", connect)
    return tried


@pytest.mark.parametrize("error", ["refused", "silent"])
@pytest.mark.parametrize(
    ("uri", "attempts"),
    [
        ("http://me:hunter2@127.0.0.1:9", 1),
        ("postgresql://me:hunter2@127.0.0.1:9/mlflow", 1),
        ("nonsense://me:hunter2@127.0.0.1", 0),
    ],
)
def test_unavailable_store_fails_soon_and_hides_its_password(
    tmp_path, connections, uri, attempts, error
):
    """It is tried once, for at most five seconds."""
    if error == "silent":
        connections.error = TimeoutError("timed out")
    with pytest.raises(
        ConfigError, match=r"tracking\.uri=\w+://\*\*\*@127\.0\.0\.1.*tracking=none"
    ) as caught:
        MlflowTracking(uri=uri).start(run_name="x", run_dir=tmp_path / "run", base_dir=tmp_path)
    assert connections == [5.0] * attempts
    assert ("no answer within 5 s" in str(caught.value)) == (error == "silent" and attempts == 1)
    assert "hunter2" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_folder_as_store_is_refused_with_what_to_type(tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"tracking\.uri=mlruns: it is a folder.*tracking\.uri=sqlite:///mlruns/mlflow\.db",
    ):
        MlflowTracking(uri="mlruns").start(run_name="x", run_dir=None, base_dir=tmp_path)


def test_read_only_store_is_refused_with_the_setting(tmp_path):
    (tmp_path / "mlruns").write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match=r"tracking\.uri=.*cannot write to .*tracking=none"):
        MlflowTracking().start(run_name="x", run_dir=None, base_dir=tmp_path)


def test_a_damaged_store_is_refused_with_what_to_type(tmp_path):
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "mlflow.db").write_bytes(b"no database" * 1000)
    with pytest.raises(ConfigError, match=r"tracking\.uri=sqlite:.*cannot be used.*tracking=none"):
        MlflowTracking().start(run_name="x", run_dir=None, base_dir=tmp_path)


def test_a_deleted_experiment_is_refused_with_the_way_back(tmp_path):
    tracker = MlflowTracking().start(run_name="x", run_dir=None, base_dir=tmp_path)
    tracker.finish("FINISHED")
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    client.delete_experiment(client.get_run(tracker.run_id).info.experiment_id)
    with pytest.raises(
        ConfigError,
        match=r"tracking\.experiment_name=ecgexp: the experiment was deleted .*mlflow "
        r"experiments restore",
    ):
        MlflowTracking().start(run_name="x", run_dir=None, base_dir=tmp_path)


def test_a_password_that_was_not_kept_is_asked_for(tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"tracking\.uri=http://\*\*\*@host.*MLFLOW_TRACKING_USERNAME.*use "
        r"tracking\.uri= with them",
    ):
        MlflowTracking(uri="http://***@host").start(run_name="x", run_dir=None, base_dir=tmp_path)
