"""The end of a run.

Killed at each of its steps, completed by `ecgexp-sync` and `resume=`, and nothing is left.
"""

import atexit
import logging
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from ecgexp.cli import run, sync
from ecgexp.settings.declaration import DataError
from ecgexp.tracking import ending, mirrored, settings
from ecgexp.tracking.local import run_json
from ecgexp.tracking.local import tracker as local
from ecgexp.tracking.local.run_json import has_finished, not_whole, read_run
from ecgexp.tracking.settings import MlflowTracking, NoTracking

pytestmark = pytest.mark.usefixtures("here")

RUN, MLFLOW = Path("outputs/run"), MlflowTracking()
STEPS = {
    "before run.json says FINISHED": (local, "write_run", "before", 0),
    "after run.json says FINISHED": (local, "write_run", "after", 0),
    "before the checkpoints are removed": (local, "remove_checkpoints", "before", 0),
    "after the checkpoints are removed": (local, "remove_checkpoints", "after", 0),
    "before the end is delivered": (mirrored._PendingQueue, "close", "before", 0),
    "after the end is delivered": (mirrored._PendingQueue, "close", "after", 0),
    "before run.json says that all is there": (local, "write_run", "before", 1),
    "after run.json says that all is there": (local, "write_run", "after", 1),
}


def begin(tracking=MLFLOW, folder=RUN):
    tracker = tracking.start(run_name="a run", run_dir=folder)
    atexit.unregister(getattr(local, "_abandon", None))
    tracker.log_params({"seed": 1})
    tracker.log_metrics({"train/loss": 0.5}, step=1)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "step-000001-ab.safetensors").write_text("private")
    tracker.log_text("{}", "result.json")
    return tracker


def die_at(owner, name, when, skipped):
    """From now on the process is killed before or after the call of that function that comes after
    `skipped` others.
    """
    inner, calls = getattr(owner, name), []

    def wrapped(*args, **kwargs):
        calls.append(1)
        if len(calls) > skipped and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        found = inner(*args, **kwargs)
        if len(calls) > skipped:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(owner, name, wrapped)


def killed_at(step, killed_while, tracking=MLFLOW):
    def work():
        tracker = begin(tracking)
        die_at(*STEPS[step])
        tracker.finish("FINISHED")

    killed_while(work)
    return RUN


def stored(here):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{here}/mlruns/mlflow.db")
    return client.search_runs(
        [experiment.experiment_id for experiment in client.search_experiments()]
    )


def listing(folder):
    """Every file and folder, ids left out."""
    return sorted(
        re.sub(r"[0-9a-f]{32}", "ID", path.relative_to(folder).as_posix())
        for path in folder.rglob("*")
    )


def resume(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["ecgexp", f"resume={RUN}", *words])
    # Hydra's logging ends the handlers that are there, and absl's would close the stream that
    # pytest gave it.
    monkeypatch.setattr(logging, "shutdown", lambda *args: None)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        run.main()
        code = 0
    except SystemExit as error:
        code = error.code
    finally:
        logging.captureWarnings(False)
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)
    return code, capsys.readouterr()


@pytest.mark.parametrize("step", list(STEPS))
@pytest.mark.parametrize("remedy", ["sync", "resume"])
def test_end_killed_at_each_step_is_completed(
    here, step, remedy, killed_while, monkeypatch, capsys
):
    folder = killed_at(step, killed_while)
    if not has_finished(folder):  # the run itself resumes from its checkpoints
        assert step == "before run.json says FINISHED"
        assert (folder / "checkpoints").exists()
        assert sync.main([str(folder)]) == 0
        assert read_run(folder)["status"] == "KILLED"
        assert (folder / "checkpoints").exists()
        return
    if remedy == "sync":
        assert (
            sync.main([] if step != "after run.json says that all is there" else [str(folder)]) == 0
        )
    else:
        code, said = resume(monkeypatch, capsys)
        lacked = step not in list(STEPS)[-3:]  # then everything was there but the mark
        assert code == (0 if lacked else 2), said
        assert ("completed" in said.out) is lacked
        code, said = resume(monkeypatch, capsys)
        assert (code, "the run has finished" in said.err) == (2, True)
    assert not (folder / "checkpoints").exists()
    assert [run.info.status for run in stored(here)] == ["FINISHED"]
    assert read_run(folder)["store"]["whole"]
    assert not_whole(Path()) == ([], [])


@pytest.mark.parametrize(
    "step", [step for step in STEPS if step != "before run.json says FINISHED"]
)
def test_end_completed_leaves_the_files_of_a_whole_run(
    here, step, killed_while, monkeypatch, capsys, tmp_path_factory
):
    killed_at(step, killed_while)
    resume(monkeypatch, capsys)
    found = listing(here)
    whole = tmp_path_factory.mktemp("whole")
    shutil.copytree(here / "mlruns", whole / "mlruns")
    monkeypatch.chdir(whole)
    begin().finish("FINISHED")
    resume(monkeypatch, capsys)
    assert found == listing(whole), (
        "run folder, store folder and what commands leave where they are typed"
    )


def test_end_without_a_store_is_completed_too(killed_while, monkeypatch, capsys):
    folder = killed_at("before the checkpoints are removed", killed_while, NoTracking())
    assert not_whole(Path()) == ([folder], [])
    assert sync.main([]) == 0
    assert f"{folder} completed: checkpoints removed" in capsys.readouterr().out
    code, said = resume(monkeypatch, capsys)
    assert (code, "the run has finished" in said.err) == (2, True)


def test_end_of_an_interrupted_run_keeps_its_checkpoints(here):
    begin().finish("KILLED", "interrupted")
    assert sync.main([str(RUN)]) == 0
    assert (RUN / "checkpoints").exists()


def test_end_removes_what_was_half_written(here, killed_while):
    begin().finish("FINISHED")

    def work():
        die_at(os, "replace", "before", 0)
        local.write_run(RUN, read_run(RUN))

    killed_while(work)
    assert list(RUN.glob(".*.part"))
    assert ending.complete(RUN) == "1 incomplete file removed"
    assert ending.complete(RUN) == ""
    assert not list(RUN.glob(".*.part"))


def test_end_of_a_run_at_work_is_left_alone(here):
    tracker = begin()
    with pytest.raises(DataError, match="still running"):
        ending.complete(RUN)
    assert (RUN / "checkpoints").exists()
    tracker.finish("FINISHED")


@pytest.mark.parametrize("again", ["sync", "start"])
def test_run_killed_before_it_knew_its_id_is_closed(here, again, killed_while):
    def work():
        die_at(settings.JsonlTracker, "known_as", "before", 0)
        begin()

    killed_while(work)
    assert read_run(RUN)["run_id"] is None
    assert [run.info.status for run in stored(here)] == ["RUNNING"]
    if again == "sync":
        assert sync.main([]) == 0
        assert [run.info.status for run in stored(here)] == ["KILLED"]
        assert not_whole(Path()) == ([], [])
    else:
        MlflowTracking().start(run_name="a run", run_dir=RUN).finish("FINISHED")
        assert sorted(run.info.status for run in stored(here)) == ["FINISHED", "KILLED"]


def test_run_that_does_not_begin_leaves_a_free_folder(here, monkeypatch):
    from ecgexp.tracking.mlflow.tracker import MlflowTracker

    def refuse(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(MlflowTracker, "create", refuse)
    with pytest.raises(KeyboardInterrupt):
        MlflowTracking().start(run_name="a run", run_dir=RUN)
    assert not (RUN / run_json.NAME).exists()


def test_runs_of_other_folders_and_living_ones_stay_open(here):
    from mlflow import MlflowClient

    from ecgexp.tracking.mlflow.health import close_replaced

    ours, other = begin(), begin(folder=Path("other"))
    client = MlflowClient(f"sqlite:///{here}/mlruns/mlflow.db")
    assert close_replaced(client, RUN, by=None) == []  # its process lives
    client.set_tag(other.run_id, "process.started", "1.00")
    assert close_replaced(client, RUN, by=None) == []
    assert close_replaced(client, Path("other"), by=other.run_id) == []
    assert close_replaced(client, Path("other"), by=ours.run_id) == [other.run_id]
    for tracker in (ours, other):
        tracker.finish("FINISHED")


@pytest.mark.parametrize("remedy", ["sync", "start"])
def test_upload_that_was_cut_off_leaves_nothing_in_the_store(here, remedy, killed_while):
    rename = os.replace

    def die_uploading(source, target):
        if ".artifact.uploading." in str(source):
            os.kill(os.getpid(), signal.SIGKILL)
        rename(source, target)

    def work():
        tracker = begin()
        os.replace = die_uploading
        tracker.log_text("more", "more.txt")

    killed_while(work)
    assert list((here / "mlruns").rglob(".artifact.uploading.*"))
    if remedy == "sync":
        assert sync.main([str(RUN)]) == 0
    else:
        MlflowTracking().start(
            run_name="a run", run_dir=RUN, resume_run_id=read_run(RUN)["run_id"]
        ).finish("FINISHED")
    assert list((here / "mlruns").rglob(".artifact.uploading.*")) == []


def test_upload_of_a_report_to_a_sweep_is_left_alone(tmp_path):
    from ecgexp.tracking.kept_files import remove_partial_uploads

    young, old = tmp_path / ".artifact.uploading.a", tmp_path / ".artifact.uploading.b"
    for path in (young, old):
        path.touch()
    os.utime(old, (0, 0))
    remove_partial_uploads(tmp_path.as_uri(), older_than_s=60.0)
    assert [path.exists() for path in (young, old)] == [True, False]
    remove_partial_uploads("s3://bucket/a")
