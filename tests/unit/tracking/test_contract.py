"""The trackers that pass the contract of their level."""

import json
import struct
from pathlib import Path

import pytest
from tracker_contract import ReadableContract, TrackerContract
from wandb_files import read_wandb

from ecgexp.tracking import (
    JsonlTracker,
    MemoryTracker,
    MirroredTracker,
    NullTracker,
    ReadableTracker,
)
from ecgexp.tracking.local.tracker import read_metrics
from ecgexp.tracking.other_settings import WandbTracking
from ecgexp.tracking.tensorboard.events import read_events, read_points
from ecgexp.tracking.tensorboard.tracker import TensorboardTracker
from ecgexp.tracking.wandb.tracker import WandbTracker


class TestMemoryTracker(ReadableContract):
    def make(self, folder):
        return MemoryTracker()

    def params(self, tracker):
        return tracker.params

    def metrics(self, tracker):
        return tracker.metrics

    def tags(self, tracker):
        return tracker.tags

    def artifacts(self, tracker):
        return set(tracker.artifacts)

    def ending(self, tracker):
        return tracker.status, tracker.reason


class TestJsonlTracker(ReadableContract):
    def make(self, folder):
        return JsonlTracker(folder)

    def run(self, tracker):
        return json.loads((tracker.folder / "run.json").read_text())

    def params(self, tracker):
        return self.run(tracker)["params"]

    def metrics(self, tracker):
        kept = {}
        for step, values in read_metrics(tracker.folder / "metrics.jsonl"):
            for name, value in values.items():
                kept.setdefault(name, []).extend([] if value is None else [(step, value)])
        return kept

    def tags(self, tracker):
        return self.run(tracker)["tags"]

    def artifacts(self, tracker):
        return {
            path.relative_to(tracker.folder).as_posix()
            for path in tracker.folder.rglob("*")
            if path.is_file()
        }

    def ending(self, tracker):
        return self.run(tracker)["status"], self.run(tracker)["reason"]


class TestMirroredFolder(TestJsonlTracker):
    """The folder of a `MirroredTracker` equals that of a `JsonlTracker` alone."""

    def make(self, folder):
        mirrored = MirroredTracker(JsonlTracker(folder), [MemoryTracker(), NullTracker()])
        mirrored.folder = folder
        return mirrored


class TestMirroredRemote(TestMemoryTracker):
    """The remote tracker of a `MirroredTracker` receives every call."""

    def make(self, folder):
        self.remote = MemoryTracker()
        return MirroredTracker(JsonlTracker(folder), [self.remote])

    def params(self, tracker):
        return self.remote.params

    def metrics(self, tracker):
        return self.remote.metrics

    def tags(self, tracker):
        return self.remote.tags

    def artifacts(self, tracker):
        return set(self.remote.artifacts)

    def ending(self, tracker):
        return self.remote.status, self.remote.reason


class TestMlflowTracker(ReadableContract):
    takes_back = False

    @pytest.fixture(autouse=True)
    def _store(self, mlflow_store):
        self.store = mlflow_store

    def make(self, folder):
        from ecgexp.tracking.mlflow.tracker import MlflowTracker

        return MlflowTracker.create(self.store, "contract")

    def data(self, tracker):
        return self.store.client.get_run(tracker.run_id).data

    def params(self, tracker):
        return self.data(tracker).params

    def metrics(self, tracker):
        names = self.data(tracker).metrics
        history = {
            name: self.store.client.get_metric_history(tracker.run_id, name) for name in names
        }
        return {
            name: [(point.step, point.value) for point in points]
            for name, points in history.items()
        }

    def tags(self, tracker):
        return self.data(tracker).tags

    def artifacts(self, tracker):
        folders, found = [""], set()
        while folders:
            for entry in self.store.client.list_artifacts(tracker.run_id, folders.pop()):
                folders.append(entry.path) if entry.is_dir else found.add(entry.path)
        return found

    def ending(self, tracker):
        return self.store.client.get_run(tracker.run_id).info.status, self.tags(tracker).get(
            "status.reason"
        )


class TestTensorboardTracker(ReadableContract):
    kept_suffixes = (".png", ".txt", ".md")

    def make(self, folder):
        return TensorboardTracker(folder)

    def texts(self, tracker):
        found = {}
        for event in read_events(tracker._folder):
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "text":
                    found[value.tag] = value.tensor.string_val[0].decode()
        return found

    def table(self, tracker, name):
        rows = self.texts(tracker).get(name, "").splitlines()[2:]
        return dict(row.strip("| ").split(" | ") for row in rows)

    def params(self, tracker):
        return self.table(tracker, "parameters")

    def metrics(self, tracker):
        found = read_points(tracker._folder)
        return {name: sorted(points.items()) for name, points in found.items()}

    def tags(self, tracker):
        return self.table(tracker, "tags")

    def artifacts(self, tracker):
        values = [value for event in read_events(tracker._folder) for value in event.summary.value]
        assert all(
            (value.image.width, value.image.height)
            == struct.unpack(">II", value.image.encoded_image_string[16:24])
            for value in values
            if value.HasField("image")
        )
        return {value.tag for value in values}

    def ending(self, tracker):
        status, _, reason = self.texts(tracker).get("status", "").partition(": ")
        return status or None, reason or None


class TestWandbTracker(TrackerContract):
    """Offline: nothing leaves the machine."""

    kept_suffixes = (".png", ".txt", ".json", ".yaml", ".csv")

    @pytest.fixture
    def tracker(self, tmp_path):
        made = self.make(tmp_path)
        yield made
        made._run.finish()

    def make(self, folder):
        return WandbTracker(WandbTracking()._run("contract", folder))

    def params(self, tracker):
        return dict(tracker._run.config)

    def metrics(self, tracker):
        tracker.finish("FINISHED")
        rows, summary = read_wandb(tracker._run.settings.sync_file)
        del summary["status"]
        found = {}
        for row in rows:
            for name in row.keys() - {"_step", "_timestamp", "_runtime"}:
                found.setdefault(name, []).append((row["_step"], row[name]))
        finals = {name: [(None, value)] for name, value in summary.items() if name[0] != "_"}
        return finals | found

    def tags(self, tracker):
        config = dict(tracker._run.config)
        return {name.removeprefix("tag/"): text for name, text in config.items()}

    def artifacts(self, tracker):
        root = Path(tracker._run.dir)
        return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}

    def ending(self, tracker):
        if not tracker._ended:
            return None, None
        _, summary = read_wandb(tracker._run.settings.sync_file)
        return summary.get("status"), summary.get("reason")

    def test_it_cannot_be_read(self, tracker):
        assert not isinstance(tracker, ReadableTracker)
