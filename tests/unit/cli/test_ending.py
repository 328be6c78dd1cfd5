"""What a command says at its end: what was kept, how to resume, and one line of JSON."""

import json
import os
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from ecgexp.cli import ending
from ecgexp.cli.ending import Ending, kept, resume_command
from ecgexp.settings.declaration import DataError, OutOfTime
from ecgexp.tracking.local.result import Result


@pytest.fixture(autouse=True)
def current(monkeypatch):
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    monkeypatch.setattr(ending, "current", Ending())
    return ending.current


def run_folder(folder, *steps, status=None):
    (folder / "checkpoints").mkdir(parents=True)
    for step in steps:
        (folder / "checkpoints" / f"step-{step:06d}-{'0' * 32}.safetensors").touch()
    if status is not None:
        Result(status=status, reason="x", metrics={"test/accuracy": 0.5}).write(folder)
    return folder


@pytest.mark.parametrize("name", ["run", "a b", "it's=[1,2]", 'a"b', "ε"])
def test_resume_command_names_the_folder_in_a_shell(tmp_path, name):
    folder = run_folder(tmp_path / name, 3)
    program, override = shlex.split(resume_command(folder))
    (parsed,) = OverridesParser.create().parse_overrides([override])
    assert program == "ecgexp"
    assert (parsed.key_or_group, str(parsed.value())) == ("resume", str(folder))


def test_resume_command_is_typed_as_this_one_was(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    assert resume_command(run_folder(tmp_path / "run", 1)).startswith("uv run ecgexp resume=")


@pytest.mark.parametrize(
    ("steps", "says"),
    [((2, 3), "3 of 20 rounds are kept"), ((0,), "a part of round 1"), ((), "nothing was trained")],
)
def test_interruption_says_what_was_kept(tmp_path, steps, says):
    folder = run_folder(tmp_path / "run", *steps)
    known = Ending(run_dir=folder, step_name="round", num_steps=20)
    assert kept(known).startswith(says)
    assert ("ecgexp resume=" in kept(known)) is bool(steps)


@pytest.mark.parametrize("code", [130, 143])
def test_interrupted_command_names_the_signal(tmp_path, code, capsys, current):
    def stopped():
        current.run_dir, current.signal = run_folder(tmp_path / "run", 1), "SIGTERM"
        raise SystemExit(code)

    with pytest.raises(SystemExit), ending.ending([]):
        stopped()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ecgexp: SIGTERM: 1 of 0 epochs are kept")


def answered(capfd, words=("console.json=true",), **known):
    """The line on standard output of a command that also prints."""
    for name, value in known.items():
        setattr(ending.current, name, value)
    with ending.ending(list(words)):
        os.write(1, b"a library prints\n")  # `print` of a test bypasses the file descriptor
    out, err = capfd.readouterr()
    assert "a library prints" in err
    (line,) = out.splitlines()
    return json.loads(line)


def test_json_is_the_only_line_on_stdout(tmp_path, capfd):
    found = answered(capfd, run_dir=run_folder(tmp_path / "run", status="FINISHED"))
    assert (found["status"], found["scores"]) == ("FINISHED", {"test/accuracy": 0.5})
    assert found["folder"] == str(tmp_path / "run")
    assert {"run_id", "epsilon", "delta", "unit", "resume"} <= set(found)


def test_json_of_a_refused_command_has_the_reason(capfd):
    found = answered(capfd, error="seed=-1: no password=hunter2")
    assert (found["status"], found["folder"]) == ("REFUSED", None)
    assert found["reason"] == "seed=-1: no password=***"


def test_json_of_a_run_out_of_time_has_a_status_of_its_own(tmp_path, capfd, current):
    current.run_dir = run_folder(tmp_path / "run", 1, status="KILLED")
    with pytest.raises(SystemExit) as ended, ending.ending(["console.json=True"]):
        raise OutOfTime("max_minutes=5: ended after epoch 1")
    found = json.loads(capfd.readouterr().out)
    assert ended.value.code == 75
    assert found["status"] == "OUT_OF_TIME"
    assert found["resume"].startswith("ecgexp resume=")


def test_run_that_recorded_a_metric_had_begun_without_a_result(tmp_path, current):
    folder = current.run_dir = run_folder(tmp_path / "run")
    (folder / "metrics.jsonl").write_text("{}\n")
    assert not current.has_begun  # the entry is of an earlier command
    current.recorded = 0
    assert current.has_begun


@pytest.mark.parametrize(("status", "code"), [(None, 2), ("FAILED", 1)])
def test_exit_code_says_whether_the_run_had_begun(tmp_path, current, status, code, capsys):
    current.run_dir = run_folder(tmp_path / "run", status=status)
    with pytest.raises(SystemExit) as ended:
        ending.fail(DataError("data.root=x: there are no records; use another one."))
    assert ended.value.code == code
    assert capsys.readouterr().err.count("\n") == 1
