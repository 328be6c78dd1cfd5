"""`latest`, folders, ids and beginnings of ids: which run a user means."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ecgexp.analysis import run_names
from ecgexp.analysis.find_runs import find_run
from ecgexp.analysis.run_names import run_named, short_ids
from ecgexp.cli.run_argument import named_folder, named_run, named_runs, resumed_folder
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.tracking.provenance import process_tags

A, B, C, D, E = ("a1" + "0" * 30, "a1b" + "0" * 29, "c" * 32, "d" * 32, "12345678" + "e" * 24)


def make(folder, run_id, status, started, **tags):
    folder.mkdir(parents=True)
    values = {
        "run_id": run_id,
        "status": status,
        "reason": None,
        "started": started,
        "params": {"seed": 0},
        "tags": {"mlflow.runName": folder.name, **tags},
        "datasets": [],
        "artifacts": [],
    }
    (folder / "run.json").write_text(json.dumps(values))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Runs without a store: a sweep of two jobs, and single runs of every status."""
    place = tmp_path_factory.mktemp("runs")
    outputs = place / "outputs" / "e"
    make(outputs / "first", A, "FINISHED", 10.0)
    make(outputs / "2_sweep" / "0", B, "FINISHED", 20.0, sweep="s1")
    make(outputs / "2_sweep" / "1", C, "KILLED", 30.0, sweep="s1")
    make(outputs / "sweeps" / "s1" / "parent", D, "FAILED", 5.0, **{"sweep.role": "parent"})
    make(outputs / "broken", E, "FAILED", 25.0)
    make(outputs / "local", None, "FINISHED", 15.0)
    make(outputs / "tried", "5" * 32, "FINISHED", 40.0, debug="smoke")
    make(outputs / "failed_try", "6" * 32, "FAILED", 41.0, debug="overfit")
    make(outputs / "alive", "f" * 32, "RUNNING", 50.0, **process_tags())
    return place


@pytest.fixture(autouse=True)
def inside(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("latest", "2_sweep/0"),
        (A, "first"),
        ("a10", "first"),
        ("a1b", "2_sweep/0"),
        ("c", "2_sweep/1"),
        ("12345678", "broken"),
        ("outputs/e/local", "local"),
        ("outputs/e/local/", "local"),
        ("d", "sweeps/s1/parent"),
        ("5", "tried"),
    ],
)
def test_a_name_stands_for_one_run(name, folder):
    expected = Path("outputs/e") / folder
    assert named_folder(name, "RUN ", latest="finished") == expected
    assert named_run(name, "RUN ").tags["mlflow.runName"] == expected.name
    assert find_run(name).tags["mlflow.runName"] == expected.name


@pytest.mark.parametrize(
    ("latest", "folder"),
    [("finished", "2_sweep/0"), ("ended", "2_sweep/1"), ("resumable", "broken")],
)
def test_latest_depends_on_what_a_command_does(latest, folder):
    assert run_named("latest", latest=latest).folder == Path("outputs/e") / folder


def test_latest_is_printed_beside_the_results(capsys):
    named_run("latest", "RUN ")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "latest: outputs/e/2_sweep/0 (0, finished)\n")


@pytest.mark.parametrize(
    ("name", "runs"),
    [("latest", "outputs/e/2_sweep"), ("a1b", "outputs/e/2_sweep/0"), ("outputs/e", "outputs/e")],
)
def test_latest_of_a_report_is_the_whole_sweep(name, runs):
    assert named_runs(name, "RUN ") == runs


def test_latest_of_a_report_is_printed_as_the_sweep(capsys):
    named_runs("latest", "RUN ")
    assert capsys.readouterr().err == "latest: sweep outputs/e/2_sweep (2 jobs)\n"


@pytest.mark.parametrize(
    ("name", "why", "remedy"),
    [
        ("a", f"2 runs .* with a: {B[:8]} .*finished.*{A[:8]} ", "more characters"),
        ("9", "neither the folder of a run", "ecgexp-runs"),
        ("Latest", "neither the folder of a run", "latest"),
        ("outputs/e/none", "there is no folder", "latest"),
        ("outputs/e", "not the folder of a run", "folder of a run"),
    ],
)
def test_a_name_of_no_or_several_runs_is_refused(name, why, remedy):
    for find in (named_folder, named_run):
        with pytest.raises(DataError, match=rf"^RUN {name}: .*{why}.*{remedy}") as error:
            find(name, "RUN ")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("latest", "remedy"), [("finished", "use `ecgexp`"), ("resumable", "own command")]
)
def test_latest_without_runs_says_what_to_do(tmp_path, monkeypatch, latest, remedy):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"^RUN latest: there is no run that .*{remedy}"):
        named_folder("latest", "RUN ", latest=latest)
    assert os.listdir(tmp_path) == []


def test_a_named_store_is_searched_alone(tmp_path):
    with pytest.raises(DataError, match="RUN c: there are no runs: .*no.db does not exist"):
        named_run("c", "RUN ", store=f"sqlite:///{tmp_path}/no.db")


def test_run_of_another_machine_has_no_folder_here(monkeypatch):
    elsewhere = replace(run_named("a10"), folder=Path("/gone"))
    monkeypatch.setattr(run_names, "run_named", lambda *_, **__: elsewhere)
    with pytest.raises(DataError, match="RUN a10: .*/gone is not on this machine"):
        named_folder("a10", "RUN ")


def test_a_short_id_is_longer_where_another_begins_alike():
    ids = ["a" * 32, "b" * 32, "a" * 9 + "b" * 23, "a" * 9 + "b" * 9 + "c" * 14]
    short = short_ids(ids)
    assert list(map(short.__getitem__, ids)) == ["a" * 10, "b" * 8, ids[2][:19], ids[3][:19]]


@pytest.mark.parametrize("name", ["nope", "outputs/nope", "empty", "latest"])
def test_resume_of_no_run_is_an_error_of_the_command(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=f"^resume={name}: "):
        resumed_folder(name)


def test_resume_of_a_damaged_run_is_an_error_of_the_data(tmp_path):
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(DataError, match="run.json is damaged"):
        resumed_folder(str(tmp_path))
