"""`ecgexp-runs`: what it lists, filters, sorts and prints as JSON."""

import json
import subprocess
import sys
from io import StringIO
from itertools import count

import pytest
from finished_runs import CENTRALIZED, failed, finished, guarantee, private

from ecgexp.analysis.run_list import ListedRun
from ecgexp.cli.runs import _room_beside, main, table
from ecgexp.console import Stream
from ecgexp.tracking import JsonlTracker
from ecgexp.tracking.local import tracker as local

KEYS = [
    *("run_id", "folder", "name", "status", "reason", "host", "started", "seconds", "experiment"),
    *(
        "debug",
        "sweep",
        "parent_id",
        "trainer",
        "dataset",
        "model",
        "seed",
        "guarantee",
        "epsilon",
        "delta",
    ),
    *("unit", "scores", "command"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Runs without MLflow; each was started a second after the one before."""
    place = tmp_path_factory.mktemp("place")
    outputs, clock = place / "outputs" / "e", count(1_700_000_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "now", lambda: float(next(clock)))
        scores = {"test/accuracy": 0.8, "test/macro_f1": 0.6}
        finished(outputs / "good", params=CENTRALIZED, metrics=scores)
        finished(
            outputs / "secret",
            params={**private(1.1), "privacy.unit": "patient", "dataset.database": "mitdb"},
            privacy=guarantee(2.1245, unit="patient"),
            seed=3,
        )
        finished(outputs / "job" / "0", params=CENTRALIZED, metrics={}, tags={"sweep": "abc"})
        failed(outputs / "bad", reason="no beats", params=private(1.1))
        dead = JsonlTracker(outputs / "dead")
        dead.set_tags({"process.pid": "1", "process.started": "5.0"})
        dead.log_params(CENTRALIZED)
        away = JsonlTracker(outputs / "away")
        away.set_tags({"process.host": "elsewhere"})
        parent = JsonlTracker(outputs / "sweeps" / "abc" / "parent")
        parent.set_tags({"sweep.role": "parent"})
        (outputs / "damaged").mkdir()
        (outputs / "damaged" / "run.json").write_text("{")
    return place


@pytest.fixture(autouse=True)
def inside(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def listed(capsys, *words):
    """The names of the folders that `--json` lists, and what was said beside."""
    assert main([*words, "--json"]) == 0
    said = capsys.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    return [line["folder"].removeprefix("outputs/e/") for line in lines], said.err


@pytest.mark.parametrize(
    ("words", "folders"),
    [
        ((), "away dead bad job/0 secret good"),
        (("--reverse",), "good secret job/0 bad dead away"),
        (("--status", "finished"), "job/0 secret good"),
        (("--status", "failed"), "bad"),
        (("--status", "killed"), "dead"),
        (("--status", "running"), "away"),
        (("--trainer", "dp"), "bad secret"),
        (("--trainer", "dp", "--dataset", "mitdb"), "secret"),
        (("--model", "cnn1d", "--number", "1"), "bad"),
        (("--sweep", "abc"), "job/0"),
        (("--sweep", "outputs/e/job/"), "job/0"),
        (("--status", "finished", "--sort", "macro_f1"), "good secret job/0"),
        (("--status", "finished", "--sort", "macro_f1", "--reverse"), "secret good job/0"),
        (("--status", "finished", "--sort", "epsilon"), "secret job/0 good"),
        (("--trainer", "dp", "--sort", "status"), "bad secret"),
    ],
)
def test_runs_are_filtered_and_sorted(capsys, words, folders):
    assert listed(capsys, *words)[0] == folders.split()


def test_json_has_the_documented_keys(capsys):
    assert main(["--json"]) == 0
    said = capsys.readouterr()
    lines = {line["folder"]: line for line in map(json.loads, said.out.splitlines())}
    assert all(list(line) == KEYS for line in lines.values())
    secret = lines["outputs/e/secret"]
    assert (secret["guarantee"], secret["epsilon"], secret["unit"], secret["seed"]) == (
        "private",
        2.1245,
        "patient",
        3,
    )
    assert secret["scores"] == {
        "test": {"accuracy": 0.5, "macro_f1": 0.4, "jk_index": None},
        "validation": {"accuracy": None, "macro_f1": None, "jk_index": None},
    }
    assert secret["started"].startswith("2023-11-14T22:13:")
    assert lines["outputs/e/bad"]["reason"] == "no beats"
    assert "the process ended" in lines["outputs/e/dead"]["reason"]
    assert said.err.count("\n") == 1
    assert "outputs/e/damaged/run.json is damaged" in said.err


def test_table_has_the_unit_beside_epsilon_and_no_wrapping(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    (secret,) = (line for line in lines if "outputs/e/secret" in line)
    assert secret.split()[-4:] == ["patient", "0.500", "0.400", "–"]
    assert "2.13 patient" in secret
    assert any("running on elsewhere?" in line for line in lines)


def test_debug_runs_are_marked_and_their_scores_not_shown(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scores = {"validation/accuracy": 0.9, "validation/macro_f1": 0.9}
    outputs = tmp_path / "outputs" / "e"
    finished(outputs / "tried", params=CENTRALIZED, metrics=scores, tags={"debug": "overfit"})
    finished(outputs / "real", params=CENTRALIZED, metrics={"validation/accuracy": 0.5})
    assert listed(capsys, "--sort", "accuracy")[0] == ["real", "tried"]
    assert main([]) == 0
    said = capsys.readouterr()
    (tried,) = (line for line in said.out.splitlines() if "tried" in line)
    assert "debug=overfit" in tried
    assert "0.9" not in tried
    assert "1 of 2 runs have debug=" in said.err


def test_a_filter_that_matches_nothing_lists_the_values(capsys):
    found, said = listed(capsys, "--trainer", "dpp")
    assert found == []
    assert "--trainer dpp: none of 6 runs matches; known values: trainer: centralized, dp" in said


def test_without_runs_it_says_how_to_start_one(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    assert "use `ecgexp` to start one" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_listing_imports_no_heavy_library():
    code = (
        "import sys; from ecgexp.cli import runs; runs.main(['--json']); "
        "assert not {'tensorflow', 'mlflow', 'pandas', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"dataset.database": "svdb", "dataset._target_": "ecgexp.data.RecordedDataset"}, "svdb"),
        ({"dataset._target_": "ecgexp.data.FolderDataset"}, "folder"),
        (
            {
                "dataset._target_": "ecgexp.data.TwoDatabases",
                "dataset.train.database": "mitdb",
                "dataset.test._target_": "ecgexp.data.FolderPart",
            },
            "mitdb_to_folder",
        ),
        ({}, ""),
    ],
)
def test_dataset_of_a_run_is_named_as_its_option(params, name):
    fields = dict.fromkeys(ListedRun.__dataclass_fields__)
    assert ListedRun(**{**fields, "params": params}).dataset == name


@pytest.mark.parametrize(
    "words", [["--store", "sqlite:////nope/mlflow.db"], ["--runs-dir", "/nope"]]
)
def test_a_place_that_was_named_and_is_missing_is_refused(words, capsys):
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"ecgexp-runs: {' '.join(words)}: ")
    assert len(shown.err.splitlines()) == 1


def test_model_of_a_run_is_its_option(tmp_path, capsys):
    for name, tags in (("0", {"model": "cnn1d_small"}), ("1", {})):
        finished(tmp_path / "runs" / name, params=CENTRALIZED, tags=tags)
    assert main(["--runs-dir", str(tmp_path / "runs"), "--json"]) == 0
    models = [json.loads(line)["model"] for line in capsys.readouterr().out.splitlines()]
    assert sorted(models) == ["cnn1d", "cnn1d_small"]


@pytest.mark.parametrize(("width", "shown"), [(200, "noise_multiplier=0.8"), (105, None)])
def test_jobs_of_a_sweep_show_what_it_varies(width, shown):
    run = ListedRun(
        run_id="a" * 32,
        folder=None,
        in_store=True,
        name="seed=1 noise_multiplier=0.8",
        status="FINISHED",
        sweep="abc",
    )
    stream = Stream(force_terminal=True, width=width, file=StringIO(), color_system=None)
    room = _room_beside(table([run], "test", ["a" * 32]), stream)
    stream.write(table([run], "test", ["a" * 32], room=room))
    lines = stream.file.getvalue().splitlines()
    assert len(lines) == 2
    assert ("job" in lines[0]) == bool(shown)
    assert (shown or "abc") in lines[1]
