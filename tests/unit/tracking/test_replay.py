"""A run in a store is completed from its folder.

All of it, once, whatever was there and whenever it is cut off.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from saved_model import save_model

from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.tracking import DatasetInput, JsonlTracker, MirroredTracker, TrackerUnavailable
from ecgexp.tracking.local.run_json import read_run
from ecgexp.tracking.mlflow.replay import replay
from ecgexp.tracking.mlflow.tracker import MlflowTracker
from ecgexp.tracking.provenance import is_running, process_tags
from ecgexp.tracking.settings import MlflowTracking

DATASET = DatasetInput(
    name="synthetic 1",
    digest="ab" * 32,
    source="synthetic, seed 0",
    counts={"train": {"N": 8}, "test": {"N": 2}},
)
PARAMS = {
    "seed": 2,
    "trainer.momentum": None,
    "device.xla": False,
    "trainer.learning_rate": 1e-3,
    "model.filters": "[4, 8]",
}
ENDED = 1_700_000_900.5
# Metric -> (step, value, milliseconds), by hand.
HISTORY = {
    "curve/validation/loss": [
        (1, 0.5, 1_700_000_010_000),
        (2, 0.25, 1_700_000_020_250),
        (3, 0.125, 1_700_000_030_999),
    ],
    "curve/validation/macro_f1": [(1, 0.75, 1_700_000_010_000), (2, 0.5, 1_700_000_020_250)],
    "test/accuracy": [(0, 0.875, 1_700_000_800_000)],
}
FILES = {"config.yaml", "figures/roc.png", "tables/by/client.csv", "result.json"}


def write_run(folder: Path, *, tags=None, reason: str | None = None, end: bool = True) -> Path:
    """A run in its folder alone, at times of long ago."""
    tracker = JsonlTracker(folder)
    tracker.log_params(PARAMS)
    tracker.set_tags(
        {"mlflow.runName": "noise_multiplier=1.0", "git.commit": "abc", **(tags or {})}
    )
    tracker.log_text("seed: 2\n", "config.yaml")
    tracker.log_dataset(DATASET)
    tracker.log_metrics(
        {"curve/validation/loss": 0.5, "curve/validation/macro_f1": 0.75},
        step=1,
        at=1_700_000_010.0,
    )
    tracker.log_metrics(
        {"curve/validation/loss": 0.25, "curve/validation/macro_f1": 0.5},
        step=2,
        at=1_700_000_020.25,
    )
    tracker.log_metrics(
        {"curve/validation/loss": 0.125, "curve/validation/macro_f1": float("nan")},
        step=3,
        at=1_700_000_030.999,
    )
    (folder / "roc.png").write_bytes(b"\x89PNG" * 100)
    tracker.log_file(folder / "roc.png", "figures")
    tracker.log_text("deep", "tables/by/client.csv")
    tracker.log_metrics({"test/accuracy": 0.875}, at=1_700_000_800.0)
    tracker.log_dict({"status": "FINISHED"}, "result.json")
    if end:
        tracker.finish("FINISHED" if reason is None else "FAILED", reason, at=ENDED)
    return folder


@pytest.fixture
def store(mlflow_store, request, tmp_path_factory):
    """An experiment of the test's own in the shared store."""
    return experiment(mlflow_store, request.node.name, tmp_path_factory.mktemp("artifacts"))


def experiment(store, name, artifacts):
    return replace(
        store,
        experiment_id=store.client.create_experiment(name, artifact_location=artifacts.as_uri()),
    )


def begun(store) -> str:
    """The id of a run that its store knows, and nothing of what came after."""
    return MlflowTracker.create(store, "noise_multiplier=1.0").run_id


def files_of(store, run_id):
    folders, found = [""], {}
    while folders:
        for entry in store.client.list_artifacts(run_id, folders.pop()):
            if entry.is_dir:
                folders.append(entry.path)
            else:
                found[entry.path] = entry.file_size
    return found


def kept(store, run_id):
    """All that a store has of a run and a replay can change, but for the run's identity."""
    run = store.client.get_run(run_id)
    inputs = [
        (entry.dataset.name, entry.dataset.digest, entry.tags[0].value)
        for entry in run.inputs.dataset_inputs
    ]
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "ended": run.info.end_time,
        "params": run.data.params,
        "tags": run.data.tags,
        "history": {
            name: sorted(
                (m.step, m.value, m.timestamp)
                for m in store.client.get_metric_history(run_id, name)
            )
            for name in run.data.metrics
        },
        "files": files_of(store, run_id),
        "inputs": sorted(inputs),
        "models": len(run.outputs.model_outputs) if run.outputs else 0,
    }


def test_replay_sends_a_run_once_with_its_times(store, tmp_path):
    folder, run_id = write_run(tmp_path / "run", reason="disk full"), begun(store)
    assert (
        replay(folder, store, run_id)
        == "5 parameters, 4 tags, 6 points, 1 dataset, 4 files, final status FAILED"
    )
    found = kept(store, run_id)
    assert found["history"] == HISTORY
    assert found["ended"] == 1_700_000_900_500
    assert found["params"] == {name: str(value) for name, value in PARAMS.items()}
    assert found["files"] == {name: (folder / name).stat().st_size for name in FILES}
    assert {(name, split) for name, _, split in found["inputs"]} == {
        ("synthetic 1", "test"),
        ("synthetic 1", "train"),
    }
    assert (found["name"], found["status"]) == ("noise_multiplier=1.0", "FAILED")
    assert found["tags"]["git.commit"] == "abc"
    assert found["tags"]["status.reason"] == "disk full"
    written = (folder / "run.json").read_bytes()
    assert replay(folder, store, run_id) == ""
    assert kept(store, run_id) == found
    assert (folder / "run.json").read_bytes() == written


POINTS = sorted((name, point) for name, points in HISTORY.items() for point in points)


@pytest.mark.slow
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    points=st.sets(st.sampled_from(POINTS)),
    params=st.sets(st.sampled_from(sorted(PARAMS))),
    files=st.dictionaries(st.sampled_from(sorted(FILES)), st.booleans()),
    dataset=st.booleans(),
    status=st.sampled_from(["RUNNING", "FINISHED", "FAILED", "KILLED"]),
)
def test_replay_sends_what_the_store_lacks_once(
    store, tmp_path_factory, points, params, files, dataset, status
):
    folder = write_run(tmp_path_factory.mktemp("drawn") / "run")
    tracker = MlflowTracker.create(store, "noise_multiplier=1.0")
    store.client.update_run(tracker.run_id, status="RUNNING")
    tracker.log_params({name: PARAMS[name] for name in params})
    for name, (step, value, _) in points:
        tracker.log_metrics(
            {name: value}, step=step or None
        )  # at another time, as earlier versions sent what had waited
    for name, whole in files.items():
        (folder / "cut").mkdir(exist_ok=True)
        half = folder / "cut" / Path(name).name
        content = (folder / name).read_bytes()
        half.write_bytes(content if whole else content[: len(content) // 2])
        tracker.log_file(half, name.rpartition("/")[0])
    if dataset:
        tracker.log_dataset(DATASET)
    if status != "RUNNING":
        tracker.finish(status, None if status == "FINISHED" else "so it seemed")
    assert replay(folder, store, tracker.run_id)
    found = kept(store, tracker.run_id)
    assert {
        name: [point[:2] for point in history] for name, history in found["history"].items()
    } == {name: [point[:2] for point in history] for name, history in HISTORY.items()}
    late = {(name, point) for name, history in found["history"].items() for point in history}
    assert set(POINTS) - points <= late  # with their own times
    assert found["params"] == {name: str(value) for name, value in PARAMS.items()}
    assert found["files"] == {name: (folder / name).stat().st_size for name in FILES}
    assert len(found["inputs"]) == 2
    assert found["status"] == "FINISHED"
    assert "status.reason" not in found["tags"]
    assert replay(folder, store, tracker.run_id) == ""


class Cut:
    """A client whose n-th writing call fails, before it has reached the store or after.

    Then its answer is lost.
    """

    WRITES = ("log_batch", "log_artifact", "log_inputs", "set_terminated", "delete_tag")

    def __init__(self, client, at, *, arrived):
        self._client, self._at, self._arrived = client, at, arrived
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name):
        method = getattr(self._client, name)
        if name not in self.WRITES:
            return method

        def call(*args, **kwargs):
            self.calls[name] += 1
            if sum(self.calls.values()) != self._at:
                return method(*args, **kwargs)
            if self._arrived:
                method(*args, **kwargs)
            raise MlflowException("connection reset by peer")

        return call


@pytest.mark.slow
def test_replay_after_a_failure_is_completed_by_the_next(store, tmp_path):
    """Every writing call fails once, without and with having arrived."""
    folder, run_id = write_run(tmp_path / "run", reason="disk full"), begun(store)
    counting = Cut(store.client, 0, arrived=False)
    replay(folder, replace(store, client=counting), run_id)
    expected = kept(store, run_id)
    total = sum(counting.calls.values())
    assert total >= 10
    for at in range(1, total + 1):
        for arrived in (False, True):
            run_id = begun(store)
            with pytest.raises(TrackerUnavailable, match="connection reset by peer"):
                replay(
                    folder, replace(store, client=Cut(store.client, at, arrived=arrived)), run_id
                )
            replay(folder, store, run_id)
            assert kept(store, run_id) == expected, (at, arrived)
            assert replay(folder, store, run_id) == ""


def test_what_people_wrote_in_the_ui_stays(store, tmp_path):
    folder, run_id = write_run(tmp_path / "run", tags={"mlflow.note.content": "ours"}), begun(store)
    replay(folder, store, run_id)
    for name, value in (("mlflow.note.content", "look at this one"), ("git.commit", "x")):
        store.client.set_tag(run_id, name, value)
    assert replay(folder, store, run_id) == "1 tag"
    tags = store.client.get_run(run_id).data.tags
    assert (tags["mlflow.note.content"], tags["git.commit"]) == ("look at this one", "abc")


def test_long_values_count_as_kept_in_the_form_that_mlflow_keeps(store, tmp_path):
    folder, run_id = (
        write_run(tmp_path / "run", tags={"long": "x" * 9000}, reason="y" * 9000),
        begun(store),
    )
    assert replay(folder, store, run_id)
    assert replay(folder, store, run_id) == ""


def test_what_cannot_be_completed_is_refused(store, tmp_path):
    folder, run_id = write_run(tmp_path / "run"), begun(store)
    with pytest.raises(TrackerUnavailable, match="not found"):
        replay(folder, store, "f" * 32)
    store.client.delete_run(run_id)
    with pytest.raises(
        DataError, match=rf"was deleted in MLflow; use `mlflow runs restore --run-id {run_id}`"
    ):
        replay(folder, store, run_id)
    store.client.restore_run(run_id)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write("\0" * 100 + "\n")
    with pytest.raises(DataError, match=r"metrics\.jsonl is damaged in line"):
        replay(folder, store, run_id)


SAYS_WHO_IT_IS = """
import json
from ecgexp.tracking.provenance import process_tags
print(json.dumps(process_tags()), flush=True)
input()
"""


def test_zombie_process_does_not_count_as_running():
    process = subprocess.Popen(
        [sys.executable, "-c", SAYS_WHO_IT_IS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    tags = json.loads(process.stdout.readline())
    assert is_running(tags)
    process.kill()
    os.waitid(
        os.P_PID, process.pid, os.WEXITED | os.WNOWAIT
    )  # it has ended, and stays in the table until it is waited for
    assert not is_running(tags)
    process.wait()
    process.stdin.close()
    process.stdout.close()
    assert not is_running(tags)


def tracked(base, run_dir, **settings):
    return MlflowTracking(experiment_name="resumed").start(
        run_name="a", run_dir=run_dir, base_dir=base, **settings
    )


def test_resumed_run_sends_what_the_store_missed(tmp_path, monkeypatch):
    """What waited in the memory of a process that died is in the folder only.

    A resumed run repeats just its last steps.
    """
    folder = tmp_path / "run"
    first = tracked(tmp_path, folder)
    first.log_metrics({"curve/validation/loss": 1.0}, step=1)
    with monkeypatch.context() as dead:
        dead.setattr(
            MlflowTracker,
            "log_metrics",
            lambda *_, **__: (_ for _ in ()).throw(TrackerUnavailable("gone")),
        )
        first.log_metrics({"curve/validation/loss": 0.5}, step=2)
        first.log_metrics({"curve/validation/loss": 0.25}, step=3)
    first._pending_queues.clear()  # it dies: nothing that waits is ever sent
    second = tracked(tmp_path, folder, resume_run_id=first.run_id)
    assert not read_run(folder)["store"]["whole"]
    second.log_metrics({"curve/validation/loss": 0.25}, step=3)
    second.log_metrics({"curve/validation/loss": 0.125}, step=4)
    second.finish("FINISHED")
    client = second._pending_queues[0].remote._store.client
    history = client.get_metric_history(second.run_id, "curve/validation/loss")
    assert sorted((point.step, point.value) for point in history) == [
        (1, 1.0),
        (2, 0.5),
        (3, 0.25),
        (4, 0.125),
    ]
    assert read_run(folder)["store"]["whole"]
    first.finish("FAILED")  # for atexit


def test_run_resumed_in_a_new_store_run_sends_its_history(tmp_path):
    folder = tmp_path / "run"
    first = tracked(tmp_path, folder)
    first.log_metrics({"curve/validation/loss": 1.0}, step=1)
    first.finish("KILLED", "SIGTERM")
    second = tracked(tmp_path, folder)
    second.log_metrics({"curve/validation/loss": 0.5}, step=2)
    second.finish("FINISHED")
    assert second.run_id != first.run_id
    client = second._pending_queues[0].remote._store.client
    assert [
        point.step for point in client.get_metric_history(second.run_id, "curve/validation/loss")
    ] == [
        1,
        2,
    ]


def test_history_that_the_store_rejects_is_refused_at_once(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    tracked(tmp_path, folder).finish("KILLED", "SIGTERM")
    tracker = JsonlTracker(folder)
    tracker.log_metrics({"curve/validation/loss": 1.0}, step=1)
    tracker.finish("KILLED", "SIGTERM")
    monkeypatch.setattr(
        MlflowTracker,
        "log_metrics",
        lambda *_, **__: (_ for _ in ()).throw(TrackerUnavailable("gone")),
    )
    with pytest.raises(
        ConfigError, match=rf"tracking\.uri=.* does not accept the entries of {folder}: gone"
    ):
        tracked(tmp_path, folder, resume_run_id=tracker.run_id)


def test_reason_of_the_stop_is_removed_on_resume(store):
    tracker = MlflowTracker.create(store, "run")
    tracker.finish("KILLED", "SIGTERM")
    MlflowTracker.resume(store, tracker.run_id, tags=process_tags()).finish("FINISHED")
    assert "status.reason" not in store.client.get_run(tracker.run_id).data.tags


def test_a_run_has_its_process_from_the_first_moment(tmp_path, monkeypatch):
    """`ecgexp-doctor` closes runs without a living process, and a run is made before all its tags
    are.
    """
    monkeypatch.setattr(MirroredTracker, "set_tags", lambda *_: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        tracked(tmp_path, tmp_path / "run")
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("resumed").experiment_id])
    assert is_running(run.data.tags)


def test_pending_point_is_sent_with_its_own_time(store, tmp_path):
    remote = MlflowTracker.create(store, "run")
    remote._store = replace(store, client=Cut(store.client, 1, arrived=False))
    mirrored = MirroredTracker(JsonlTracker(tmp_path), [remote])
    mirrored.log_metrics({"curve/validation/loss": 0.5}, step=1, at=1_700_000_010.25)
    mirrored.finish("FAILED", "x", at=1_700_000_020.5)
    (point,) = store.client.get_metric_history(remote.run_id, "curve/validation/loss")
    assert point.timestamp == 1_700_000_010_250
    assert store.client.get_run(remote.run_id).info.end_time == 1_700_000_020_500


def test_points_whose_answer_was_lost_are_not_kept_twice(store, tmp_path):
    """More points than fit into one request, and the second request is lost.

    Both are sent again.
    """
    remote = MlflowTracker.create(store, "run")
    remote._store = replace(store, client=Cut(store.client, 2, arrived=True))
    mirrored = MirroredTracker(JsonlTracker(tmp_path), [remote])
    mirrored.log_metrics({f"m/{i}": i / 7 for i in range(220)}, step=1)
    mirrored.finish("FINISHED")
    assert remote._store.client.calls["log_batch"] == 2 + 3
    run = store.client.get_run(remote.run_id)
    assert len(run.data.metrics) == 220
    assert {
        len(store.client.get_metric_history(remote.run_id, f"m/{i}"))
        for i in (0, 99, 100, 199, 200)
    } == {1}


class CutModel(Cut):
    WRITES = ("create_logged_model", "log_model_artifacts", "finalize_logged_model", "log_outputs")


@pytest.mark.slow
def test_the_model_is_logged_once_wherever_it_was_cut_off(store, tmp_path):
    for at in range(1, 5):
        for arrived in (False, True):
            folder = tmp_path / f"{at}{arrived}"
            tracker = JsonlTracker(folder)
            tracker.log_model(save_model(folder / "model"))
            tracker.finish("FINISHED")
            run_id = begun(store)
            with pytest.raises(TrackerUnavailable):
                replay(
                    folder,
                    replace(store, client=CutModel(store.client, at, arrived=arrived)),
                    run_id,
                )
            # Where the last answer is lost, all of the model had arrived.
            assert ("the model" in replay(folder, store, run_id)) is not (at == 4 and arrived)
            assert kept(store, run_id)["models"] == 1
            logged = store.client.search_logged_models(
                [store.experiment_id], f"source_run_id = '{run_id}'"
            )
            assert [model.status for model in logged] == ["READY"]
            assert replay(folder, store, run_id) == ""
    packed = Path(logged[0].artifact_location.removeprefix("file://"))
    assert (packed / "artifacts" / "model" / "weights.safetensors").read_bytes() == b"weights"
    assert "signal_mv" in (packed / "MLmodel").read_text()


def test_model_saved_by_a_killed_run_is_sent_to_the_store(store, tmp_path):
    folder, run_id = write_run(tmp_path / "run"), begun(store)
    save_model(folder / "model")
    assert "the model" in replay(folder, store, run_id)
