"""The command `ecgexp-sync`, on runs that trackers wrote to their folders."""

import atexit
import subprocess
import sys
from pathlib import Path

import pytest

from ecgexp.cli import sync
from ecgexp.cli.doctor_checks import Settings, check_store
from ecgexp.settings.declaration import DataError
from ecgexp.tracking import TrackerUnavailable
from ecgexp.tracking.local.run_json import not_whole, read_run, write_run
from ecgexp.tracking.settings import MlflowTracking, NoTracking

GONE = {"process.started": "1.00"}
MLFLOW = "ecgexp.tracking.mlflow.tracker.MlflowTracker"


def gone(*_, **__):
    raise TrackerUnavailable("gone")


def begin(folder: Path):
    tracker = MlflowTracking().start(run_name="a run", run_dir=folder)
    atexit.unregister(tracker._abandon)  # some stay without an end
    tracker.log_params({"seed": 1})
    tracker.log_metrics({"curve/validation/loss": 0.5}, step=1)
    return tracker


def finished(folder: Path):
    begin(folder).finish("FINISHED")
    return folder


def without_store(folder: Path):
    tracker = NoTracking().start(run_name="a run", run_dir=folder)
    tracker.finish("FINISHED")
    return folder


def behind(folder: Path, monkeypatch):
    """A run whose store went away after the first step."""
    tracker = begin(folder)
    with monkeypatch.context() as away:
        for name in ("log_metrics", "log_file", "set_tags", "finish"):
            away.setattr(f"{MLFLOW}.{name}", gone)
        tracker.log_metrics({"curve/validation/loss": 0.25}, step=2)
        tracker.log_text("in words", "privacy_statement.txt")
        tracker.finish("FINISHED")
    return folder


def stopped(folder: Path, **tags):
    """A run that says RUNNING, in a process that is gone unless `tags` say otherwise."""
    begin(folder)
    values = read_run(folder)
    write_run(folder, values | {"tags": values["tags"] | (tags or GONE)})
    return folder


def client(here):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{here}/mlruns/mlflow.db")


def doctor(here):
    settings = Settings(
        data_root=here,
        store="sqlite:///mlruns/mlflow.db",
        runs_dir=Path("outputs"),
        close_stale=False,
    )
    return [finding for finding in check_store(settings) if "incomplete" in finding.found]


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from ecgexp.cli import sync; assert not {'mlflow', 'pandas'} & "
        "set(sys.modules); sync.main(['--help'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "--runs-dir" in done.stdout
    assert "--store" in done.stdout


def test_sync_sends_pending_entries_that_doctor_counts(here, monkeypatch, capsys):
    finished(Path("outputs/e/1"))
    late = behind(Path("outputs/e/2"), monkeypatch)
    NoTracking().start(run_name="quiet", run_dir=Path("outputs/e/3")).finish("FINISHED")
    begin(Path("outputs/e/4"))  # it still runs
    (finding,) = doctor(here)
    assert finding.found == f"1 is incomplete in MLflow: {late}"
    assert "ecgexp-sync" in finding.advice
    capsys.readouterr()  # the run's own warnings, where a handler shows them
    assert sync.main([]) == 0
    assert capsys.readouterr() == (
        f"{late} completed: 1 point, 1 file, final status FINISHED\n",
        "",
    )
    run_id = read_run(late)["run_id"]
    history = client(here).get_metric_history(run_id, "curve/validation/loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.25)]
    assert client(here).get_run(run_id).info.status == "FINISHED"
    assert doctor(here) == []

    assert sync.main([]) == 0
    assert (
        capsys.readouterr().out == "MLflow is complete for all runs below outputs that have ended\n"
    )
    assert sync.main([str(late)]) == 0
    assert capsys.readouterr().out == f"{late} is complete already, nothing was sent\n"


def test_sync_uses_the_store_of_the_run_in_any_folder(here, monkeypatch, capsys):
    late = here / behind(Path("outputs/e/2"), monkeypatch)
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert sync.main([str(late)]) == 0
    assert "completed" in capsys.readouterr().out
    assert list(Path().iterdir()) == []


def test_sync_uses_the_store_option_if_it_has_moved(here, monkeypatch, capsys):
    late = behind(Path("outputs/e/2"), monkeypatch)
    Path("mlruns").rename("moved")
    assert sync.main([str(late)]) == 2
    assert f"{here}/mlruns/mlflow.db does not exist" in capsys.readouterr().err
    assert sync.main([str(late), "--store", "sqlite:///moved/mlflow.db"]) == 0
    assert not_whole(Path()) == ([], [])


def test_sync_closes_a_run_whose_process_has_ended(here, capsys):
    folder = stopped(Path("outputs/e/4"))
    assert doctor(here)[0].found == f"1 is incomplete in MLflow: {folder}"
    assert sync.main([]) == 0
    run = client(here).get_run(read_run(folder)["run_id"])
    assert (run.info.status, run.data.tags["status.reason"]) == (
        "KILLED",
        "the process ended without reporting a status",
    )
    assert read_run(folder)["status"] == "KILLED"
    assert doctor(here) == []


def held(folder):
    """A run as it is being made: its process holds its folder before it writes a word."""
    from ecgexp.tracking.local.lock import hold

    finished(folder)
    holder = hold(folder, new=False)
    holder.__enter__()
    return folder, holder


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (
            lambda: (Path("no/where"),),
            "RUN no/where: there is no folder no/where; use the folder of a run",
        ),
        (
            lambda: (begin(Path("run")).local.folder,),
            "run is still running; use the same command again when it has ended",
        ),
        (
            lambda: held(Path("run")),
            "RUN run: another process is using it; use this command again when that has ended",
        ),
        (
            lambda: (stopped(Path("run"), **{"process.host": "elsewhere"}),),
            "run has the status RUNNING on elsewhere, which cannot",
        ),
        (lambda: (without_store(Path("run")),), "RUN run: it was made without MLflow"),
    ],
)
def test_sync_refuses_a_run_in_one_line(here, capsys, make, why):
    folder, *_ = made = make()
    assert sync.main([str(folder)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"ecgexp-sync: {why}")
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not Path("no").exists()
    del made


def test_sync_with_a_damaged_run_completes_the_others(here, monkeypatch, capsys):
    damaged, late = (
        behind(Path("outputs/e/1"), monkeypatch),
        behind(Path("outputs/e/2"), monkeypatch),
    )
    with (damaged / "metrics.jsonl").open("a") as file:
        file.write("{\n")
    Path("outputs/e/0").mkdir()
    Path("outputs/e/0/run.json").write_text("{")
    assert sync.main([]) == 2
    said = capsys.readouterr()
    assert f"{late} completed" in said.out
    assert [line.partition(" is damaged")[0] for line in said.err.splitlines()] == [
        "ecgexp-sync: outputs/e/0/run.json",
        f"ecgexp-sync: {damaged}/metrics.jsonl",
    ]
    assert not_whole(Path())[0] == [damaged]


def test_sync_after_an_outage_can_be_repeated(here, monkeypatch, capsys):
    late = behind(Path("outputs/e/2"), monkeypatch)
    with monkeypatch.context() as away:
        away.setattr(f"{MLFLOW}.log_file", gone)
        assert sync.main([str(late)]) == 2
        assert (
            f"{late}: gone; entries that were sent stay, use the same command again"
            in capsys.readouterr().err
        )
    assert len(doctor(here)) == 1
    assert sync.main([str(late)]) == 0
    assert f"{late} completed: 1 file, final status FINISHED" in capsys.readouterr().out


@pytest.mark.parametrize("uri", ["http://me:hunter2@127.0.0.1:9", "mlruns", "foo://me:hunter2@x"])
def test_sync_unusable_store_is_one_line_without_password(here, capsys, uri):
    folder = finished(Path("outputs/e/1"))
    assert sync.main([str(folder), "--store", uri]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("ecgexp-sync: --store")
    assert said.err.count("\n") == 1
    assert "hunter2" not in said.err + said.out


def test_a_password_that_was_not_kept_is_asked_for(here, monkeypatch, capsys):
    folder = finished(Path("outputs/e/1"))
    write_run(
        folder, read_run(folder) | {"store": {"uri": "http://***@127.0.0.1:9", "whole": False}}
    )
    assert sync.main([str(folder)]) == 2
    said = capsys.readouterr().err
    assert "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in said
    assert "use --store with them" in said
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:9")
    assert sync.main([str(folder)]) == 2
    assert (
        "***@127.0.0.1:9: the store cannot be used: Connection refused" in capsys.readouterr().err
    )


def test_sync_unknown_option_is_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        sync.main(["--nonsense"])
    assert ended.value.code == 2
    assert (
        capsys.readouterr().err
        == "ecgexp-sync: unrecognized arguments: --nonsense; see ecgexp-sync --help\n"
    )


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"status": "FINISHED", "params": [], "tags": {}}']
)
def test_sync_ignores_folders_that_are_not_runs(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(
        DataError, match=f"{tmp_path}/run.json is damaged: .*; restore the file from a copy"
    ):
        read_run(tmp_path)
    folders, damaged = not_whole(tmp_path)
    assert folders == []
    assert [str(error).split()[0] for error in damaged] == [f"{tmp_path}/run.json"]
