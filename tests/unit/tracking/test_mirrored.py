import json
import logging
import subprocess
import sys

import pytest

from ecgexp.tracking import JsonlTracker, MemoryTracker, MirroredTracker, TrackerUnavailable
from ecgexp.tracking.base import LoginRefused
from ecgexp.tracking.local.tracker import read_entries
from ecgexp.tracking.mirrored import END_WAITS_S, RETRY_AFTER_S


class Unreliable(MemoryTracker):
    """A mirror whose server can be switched off; counts the attempts."""

    down = False
    attempts = 0

    def __getattribute__(self, name):
        if name.startswith(("log_", "set_")) or name == "finish":
            self.attempts += 1
            if self.down:
                raise TrackerUnavailable("connection refused")
        return super().__getattribute__(name)


class Clock:
    now = 0.0

    def __init__(self):
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def remote():
    return Unreliable()


@pytest.fixture
def mirrored(tmp_path, clock, remote):
    mirrored = MirroredTracker(JsonlTracker(tmp_path), [remote], clock=clock, sleep=clock.sleep)
    yield mirrored
    mirrored.finish("FINISHED")


def test_unavailable_remote_receives_all_in_order_later(mirrored, remote, clock):
    mirrored.log_metrics({"train/loss": 3.0}, step=1)
    remote.down = True
    mirrored.log_metrics({"train/loss": 2.0}, step=2)
    mirrored.log_text("in words", "privacy/statement.txt")
    remote.down = False
    clock.now += RETRY_AFTER_S
    mirrored.log_metrics({"train/loss": 1.0}, step=3)
    assert remote.metrics["train/loss"] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert remote.artifacts["privacy/statement.txt"] == b"in words"


def test_unavailable_remote_is_not_called_at_every_step(mirrored, remote):
    remote.down = True
    for step in range(1, 101):
        mirrored.log_metrics({"train/loss": 1.0}, step=step)
    assert remote.attempts == 1


def test_values_changed_after_logging_are_sent_unchanged(mirrored, remote):
    remote.down = True
    metrics = {"train/loss": 1.0}
    mirrored.log_metrics(metrics, step=1)
    metrics["train/loss"] = 99.0
    remote.down = False
    mirrored.finish("FINISHED")
    assert remote.metrics["train/loss"] == [(1, 1.0)]


def test_the_end_tries_once_more(mirrored, remote):
    remote.down = True
    mirrored.log_metrics({"train/loss": 1.0}, step=1)
    remote.down = False
    mirrored.finish("FINISHED")
    assert remote.metrics["train/loss"] == [(1, 1.0)]
    assert remote.status == "FINISHED"


@pytest.mark.parametrize("tries", range(1, len(END_WAITS_S) + 1))
def test_end_is_tried_again_with_growing_waits(mirrored, remote, clock, monkeypatch, tries):
    remote.down = True
    mirrored.log_metrics({"train/loss": 1.0}, step=1)

    def sleep(seconds):
        clock.slept.append(seconds)
        remote.down = len(clock.slept) < tries

    monkeypatch.setattr(mirrored._pending_queues[0], "_sleep", sleep)
    mirrored.finish("FINISHED")
    assert clock.slept == list(END_WAITS_S[:tries]) == sorted(clock.slept)
    assert remote.metrics["train/loss"] == [(1, 1.0)]
    assert remote.status == "FINISHED"


def test_end_of_an_interrupted_run_does_not_wait(mirrored, remote, clock):
    remote.down = True
    mirrored.finish("KILLED", "interrupted")
    assert clock.slept == []


def test_end_does_not_wait_for_a_refused_login(mirrored, remote, clock, monkeypatch):
    def refuse(*_, **__):
        raise LoginRefused("the server refuses the login")

    monkeypatch.setattr(MemoryTracker, "finish", refuse)
    mirrored.finish("FINISHED")
    assert clock.slept == []


def test_a_warning_of_the_store_is_not_cut(mirrored, remote, caplog):
    class Long(MemoryTracker):
        def set_tags(self, tags):
            raise TrackerUnavailable("x" * 500 + " the end")

    MirroredTracker(mirrored.local, [Long()]).set_tags({"a": "b"})
    assert "x" * 500 + " the end" in caplog.text


def test_what_was_never_delivered_is_said_with_its_number(mirrored, remote, caplog):
    remote.down = True
    with caplog.at_level(logging.WARNING):
        mirrored.log_metrics({"train/loss": 1.0}, step=1)
        mirrored.log_metrics({"train/loss": 1.0}, step=2)
        mirrored.finish("FINISHED")
    assert "the run continues" in caplog.messages[0]
    assert "3 entries of this run did not reach" in caplog.messages[-1]
    assert len(caplog.records) == 2 + len(END_WAITS_S)


def test_entry_refused_by_the_folder_is_not_sent(mirrored, remote):
    with pytest.raises(ValueError, match="metric name"):
        mirrored.log_metrics({"test/f1//": 1.0})
    assert remote.attempts == 0


def test_the_model_is_mirrored_from_the_runs_folder(mirrored, remote, tmp_path):
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "model.json").write_text("{}")
    mirrored.log_model(tmp_path / "best")
    assert remote.models == [tmp_path / "model"]


def test_run_without_a_status_is_failed_at_process_end(tmp_path):
    code = (
        "import sys; from pathlib import Path; from ecgexp.tracking import "
        "MirroredTracker, JsonlTracker;"
        "run = MirroredTracker(JsonlTracker(Path(sys.argv[1])), []); raise SystemExit(3)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 3
    written = (tmp_path / "run.json").read_text()
    assert '"FAILED"' in written
    assert "the process ended without reporting how the run ended" in written


def test_remote_that_refuses_an_entry_receives_the_others(tmp_path, caplog):
    class Picky(MemoryTracker):
        def log_params(self, params):
            raise ValueError("too long, says http://me:hunter2@host")

    remote = Picky()
    mirrored = MirroredTracker(JsonlTracker(tmp_path), [remote])
    mirrored.log_params({"seed": 1})
    mirrored.log_metrics({"train/loss": 1.0}, step=1)
    mirrored.finish("FINISHED")
    assert remote.metrics["train/loss"] == [(1, 1.0)]
    assert remote.status == "FINISHED"
    assert "the tracking store refuses an entry" in caplog.messages[0]
    assert "1 entries of this run did not reach" in caplog.messages[1]
    assert "hunter2" not in caplog.text


def mark(folder):
    return json.loads((folder / "run.json").read_text())["store"]["whole"]


@pytest.mark.parametrize("fault", [None, "away", "refuses"])
def test_folder_records_whether_all_was_sent(tmp_path, fault):
    remote = Unreliable()
    local = JsonlTracker(tmp_path, run_id="a", store_uri="http://me:hunter2@host")
    mirrored = MirroredTracker(local, [remote], sleep=lambda _: None)
    mirrored.log_metrics({"train/loss": 1.0}, step=1)
    assert not mark(tmp_path)  # a crash would leave it so
    if fault == "away":
        remote.down = True
    elif fault == "refuses":
        remote.log_text = remote.log_file = lambda *_: {}["no"]
    mirrored.log_text("in words", "a.txt")
    mirrored.finish("FINISHED")
    assert mark(tmp_path) is (fault is None)
    assert "hunter2" not in (tmp_path / "run.json").read_text()
    JsonlTracker(tmp_path)  # it resumes, if only here
    assert not mark(tmp_path)


def test_unwritable_folder_still_ends_the_remote_run(tmp_path, monkeypatch):
    remote = MemoryTracker()
    mirrored = MirroredTracker(JsonlTracker(tmp_path), [remote])

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mirrored.local, "finish", full)
    with pytest.raises(OSError, match="No space left"):
        mirrored.finish("FAILED", "disk full")
    assert (remote.status, remote.reason) == ("FAILED", "disk full")


def test_every_attempt_at_a_point_has_the_time_of_the_folder(tmp_path, clock):
    times = []

    class Deaf(MemoryTracker):
        def log_metrics(self, metrics, *, step=None, at=None):
            times.append((step, at))
            if len(times) == 1:
                raise TrackerUnavailable("the answer was lost")

    mirrored = MirroredTracker(JsonlTracker(tmp_path), [Deaf()], clock=clock, sleep=clock.sleep)
    mirrored.log_metrics({"train/loss": 1.0}, step=1)
    mirrored.finish("FINISHED")
    assert (
        times
        == [(entry["step"], entry["time"]) for entry in read_entries(tmp_path / "metrics.jsonl")]
        * 2
    )
