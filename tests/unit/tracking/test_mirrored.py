import json
import logging
import subprocess
import sys

import numpy as np
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
def fanout(tmp_path, clock, remote):
    fanout = MirroredTracker(JsonlTracker(tmp_path), [remote], clock=clock, sleep=clock.sleep)
    yield fanout
    fanout.finish("FINISHED")


def test_a_mirror_that_was_away_hears_everything_in_order(fanout, remote, clock):
    fanout.log_metrics({"train/loss": 3.0}, step=1)
    remote.down = True
    fanout.log_metrics({"train/loss": 2.0}, step=2)
    fanout.log_text("in words", "privacy/statement.txt")
    remote.down = False
    clock.now += RETRY_AFTER_S
    fanout.log_metrics({"train/loss": 1.0}, step=3)
    assert remote.metrics["train/loss"] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert remote.artifacts["privacy/statement.txt"] == b"in words"


def test_a_mirror_that_is_away_is_not_asked_at_every_step(fanout, remote):
    remote.down = True
    for step in range(1, 101):
        fanout.log_metrics({"train/loss": 1.0}, step=step)
    assert remote.attempts == 1


def test_values_changed_after_logging_reach_the_mirror_as_they_were(fanout, remote):
    remote.down = True
    metrics = {"train/loss": 1.0}
    fanout.log_metrics(metrics, step=1)
    metrics["train/loss"] = 99.0
    remote.down = False
    fanout.finish("FINISHED")
    assert remote.metrics["train/loss"] == [(1, 1.0)]


def test_the_end_tries_once_more(fanout, remote):
    remote.down = True
    fanout.log_metrics({"train/loss": 1.0}, step=1)
    remote.down = False
    fanout.finish("FINISHED")
    assert remote.metrics["train/loss"] == [(1, 1.0)]
    assert remote.status == "FINISHED"


@pytest.mark.parametrize("tries", range(1, len(END_WAITS_S) + 1))
def test_end_is_tried_again_with_growing_waits(fanout, remote, clock, monkeypatch, tries):
    remote.down = True
    fanout.log_metrics({"train/loss": 1.0}, step=1)

    def sleep(seconds):
        clock.slept.append(seconds)
        remote.down = len(clock.slept) < tries

    monkeypatch.setattr(fanout._pending_queues[0], "_sleep", sleep)
    fanout.finish("FINISHED")
    assert clock.slept == list(END_WAITS_S[:tries]) == sorted(clock.slept)
    assert remote.metrics["train/loss"] == [(1, 1.0)]
    assert remote.status == "FINISHED"


def test_end_of_an_interrupted_run_does_not_wait(fanout, remote, clock):
    remote.down = True
    fanout.finish("KILLED", "interrupted")
    assert clock.slept == []


def test_end_does_not_wait_for_a_refused_login(fanout, remote, clock, monkeypatch):
    def refuse(*_, **__):
        raise LoginRefused("the server refuses the login")

    monkeypatch.setattr(MemoryTracker, "finish", refuse)
    fanout.finish("FINISHED")
    assert clock.slept == []


def test_a_warning_of_the_store_is_not_cut(fanout, remote, caplog):
    class Long(MemoryTracker):
        def set_tags(self, tags):
            raise TrackerUnavailable("x" * 500 + " the end")

    MirroredTracker(fanout.local, [Long()]).set_tags({"a": "b"})
    assert "x" * 500 + " the end" in caplog.text


def test_what_was_never_delivered_is_said_with_its_number(fanout, remote, caplog):
    remote.down = True
    with caplog.at_level(logging.WARNING):
        fanout.log_metrics({"train/loss": 1.0}, step=1)
        fanout.log_metrics({"train/loss": 1.0}, step=2)
        fanout.finish("FINISHED")
    assert "the run continues" in caplog.messages[0]
    assert "3 entries of this run did not reach" in caplog.messages[-1]
    assert len(caplog.records) == 2 + len(END_WAITS_S)


def test_what_the_folder_refuses_reaches_no_mirror(fanout, remote):
    with pytest.raises(ValueError, match="metric name"):
        fanout.log_metrics({"test/f1//": 1.0})
    assert remote.attempts == 0


def test_the_model_is_mirrored_from_the_runs_folder(fanout, remote, tmp_path):
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "model.json").write_text("{}")
    fanout.log_model(tmp_path / "best", input_example=np.zeros((1, 180, 1), np.float32))
    assert [folder for folder, _ in remote.models] == [tmp_path / "model"]


def test_a_run_nobody_ended_is_marked_failed_when_the_process_ends(tmp_path):
    code = (
        "import sys; from pathlib import Path; from ecgexp.tracking import MirroredTracker, JsonlTracker;"
        "run = MirroredTracker(JsonlTracker(Path(sys.argv[1])), []); raise SystemExit(3)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 3
    written = (tmp_path / "run.json").read_text()
    assert '"FAILED"' in written
    assert "the process ended without reporting how the run ended" in written


def test_a_mirror_that_refuses_an_entry_gets_the_others_and_the_run_goes_on(tmp_path, caplog):
    class Picky(MemoryTracker):
        def log_params(self, params):
            raise ValueError("too long, says http://me:hunter2@host")

    remote = Picky()
    fanout = MirroredTracker(JsonlTracker(tmp_path), [remote])
    fanout.log_params({"seed": 1})
    fanout.log_metrics({"train/loss": 1.0}, step=1)
    fanout.finish("FINISHED")
    assert remote.metrics["train/loss"] == [(1, 1.0)]
    assert remote.status == "FINISHED"
    assert "the tracking store refuses an entry" in caplog.messages[0]
    assert "1 entries of this run did not reach" in caplog.messages[1]
    assert "hunter2" not in caplog.text


def mark(folder):
    return json.loads((folder / "run.json").read_text())["store"]["whole"]


@pytest.mark.parametrize("fault", [None, "away", "refuses"])
def test_the_folder_says_whether_all_reached_the_mirror(tmp_path, fault):
    remote = Unreliable()
    local = JsonlTracker(tmp_path, run_id="a", store_uri="http://me:hunter2@host")
    fanout = MirroredTracker(local, [remote], sleep=lambda _: None)
    fanout.log_metrics({"train/loss": 1.0}, step=1)
    assert not mark(tmp_path)  # a crash would leave it so
    if fault == "away":
        remote.down = True
    elif fault == "refuses":
        remote.log_text = remote.log_file = lambda *_: {}["no"]
    fanout.log_text("in words", "a.txt")
    fanout.finish("FINISHED")
    assert mark(tmp_path) is (fault is None)
    assert "hunter2" not in (tmp_path / "run.json").read_text()
    JsonlTracker(tmp_path)  # it goes on, if only here
    assert not mark(tmp_path)


def test_a_folder_that_cannot_be_written_still_lets_the_mirror_end(tmp_path, monkeypatch):
    remote = MemoryTracker()
    fanout = MirroredTracker(JsonlTracker(tmp_path), [remote])

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fanout.local, "finish", full)
    with pytest.raises(OSError, match="No space left"):
        fanout.finish("FAILED", "disk full")
    assert (remote.status, remote.reason) == ("FAILED", "disk full")


def test_every_attempt_at_a_point_has_the_time_of_the_folder(tmp_path, clock):
    times = []

    class Deaf(MemoryTracker):
        def log_metrics(self, metrics, *, step=None, at=None):
            times.append((step, at))
            if len(times) == 1:
                raise TrackerUnavailable("the answer was lost")

    fanout = MirroredTracker(JsonlTracker(tmp_path), [Deaf()], clock=clock, sleep=clock.sleep)
    fanout.log_metrics({"train/loss": 1.0}, step=1)
    fanout.finish("FINISHED")
    assert (
        times
        == [(entry["step"], entry["time"]) for entry in read_entries(tmp_path / "metrics.jsonl")]
        * 2
    )
