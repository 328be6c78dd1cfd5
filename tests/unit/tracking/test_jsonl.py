import json

import pytest

from ecgexp.tracking import JsonlTracker
from ecgexp.tracking.local.tracker import read_metrics


def test_every_line_is_strict_json(tmp_path):
    tracker = JsonlTracker(tmp_path)
    tracker.log_metrics({"validation/f1/Q": float("nan"), "train/loss": 0.5}, step=1)
    line = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=pytest.fail)
    assert line["step"] == 1
    assert line["metrics"] == {"validation/f1/Q": None, "train/loss": 0.5}


def test_a_continued_run_keeps_its_points_and_writes_none_twice(tmp_path):
    first = JsonlTracker(tmp_path, run_id="a" * 32)
    first.log_params({"seed": 1})
    first.log_metrics({"train/loss": 0.5}, step=1)
    first.finish("KILLED", "SIGTERM")
    second = JsonlTracker(tmp_path)
    second.log_metrics({"train/loss": 0.5}, step=1)
    second.log_metrics({"train/loss": 0.25}, step=2)
    assert second.run_id == "a" * 32
    assert list(read_metrics(tmp_path / "metrics.jsonl")) == [
        (1, {"train/loss": 0.5}),
        (2, {"train/loss": 0.25}),
    ]
    assert json.loads((tmp_path / "run.json").read_text())["params"] == {"seed": 1}


def test_a_line_that_a_crash_cut_off_is_passed_over(tmp_path):
    JsonlTracker(tmp_path).log_metrics({"train/loss": 0.5}, step=1)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"time": 1, "step": 2, "met')
    again = JsonlTracker(tmp_path)
    again.log_metrics({"train/loss": 0.25}, step=2)
    assert list(read_metrics(tmp_path / "metrics.jsonl")) == [
        (1, {"train/loss": 0.5}),
        (2, {"train/loss": 0.25}),
    ]


def test_the_model_folder_is_copied(tmp_path):
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "model.json").write_text("{}")
    JsonlTracker(tmp_path / "run").log_model(tmp_path / "best")
    assert (tmp_path / "run" / "model" / "model.json").read_text() == "{}"


def test_a_file_that_cannot_be_copied_leaves_the_old_one(tmp_path):
    tracker = JsonlTracker(tmp_path / "run")
    tracker.log_text("old", "notes.txt")
    with pytest.raises(FileNotFoundError):
        tracker.log_file(tmp_path / "notes.txt")
    assert (tmp_path / "run" / "notes.txt").read_text() == "old"


def test_secrets_in_stored_texts_are_masked_and_results_kept(tmp_path):
    tracker = JsonlTracker(tmp_path)
    tracker.log_text("kept at http://me:hunter2@host\n", "a.txt")
    tracker.log_dict(
        {"typed": ["tracking.uri=http://me:hunter2@host"], "epsilon_if_noise_were_secret": 3.5},
        "a.json",
    )
    assert (tmp_path / "a.txt").read_text() == "kept at http://***@host\n"
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "typed": ["tracking.uri=http://***@host"],
        "epsilon_if_noise_were_secret": 3.5,
    }


def test_notes_of_multirun_lose_their_secrets(tmp_path):
    from ecgexp.tracking.local.hydra_files import clean_multirun

    note = tmp_path / "multirun.yaml"
    note.write_text("- tracking.uri=http://me:hunter2@host:5000\n- privacy.noise_seed=7\n")
    clean_multirun(tmp_path)
    assert note.read_text() == "- tracking.uri=http://***@host:5000\n- privacy.noise_seed=7\n"
