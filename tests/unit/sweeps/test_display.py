"""What the console shows of a sweep while it runs, from the files of its jobs."""

import io
import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ecgexp.config.sweep_settings import SweepSettings
from ecgexp.console import Console, LogHandler, Stream
from ecgexp.sweeps.attempts import Attempt
from ecgexp.sweeps.display import SweepDisplay, job_console
from ecgexp.sweeps.invocation import write_study
from ecgexp.sweeps.messages import Messages, collected
from ecgexp.sweeps.sweep import Sweep

JOBS = [f"seed={number}" for number in range(1, 4)]


@pytest.fixture
def sweep(tmp_path):
    return opened(tmp_path, JOBS)


def opened(folder, jobs, name="monday"):
    return Sweep.open(folder / name, ["seed=1,2,3"], jobs, SweepSettings()).with_parent(None)


class Shown:
    """A display without a thread, and what it has printed."""

    def __init__(self, sweep):
        self.out, self.seconds = Stream(file=io.StringIO()), 0.0
        self.display = SweepDisplay(
            sweep, Console(messages=self.out, bars=self.out), clock=lambda: self.seconds
        )

    def lines(self):
        self.display.show()
        lines = self.out.file.getvalue().replace("\xa0", " ").splitlines()
        self.out.file.seek(0)
        self.out.file.truncate()
        return lines


def ran(sweep, number, status="FINISHED", *, begins=None, **values):
    """A job as its own process records it."""
    digest = f"{number}" * 64
    sweep.note(number, JOBS[number], digest, "ran", begins=begins)
    attempt = Attempt(digest=digest, name=JOBS[number], command="ecgexp", run_dir="x", **values)
    attempt = sweep.attempts.write(attempt)
    sweep.attempts.write(replace(attempt, status=status))


def test_display_has_one_line_a_job_with_the_time_left(sweep):
    shown = Shown(sweep)
    sweep.note(0, JOBS[0], "0" * 64, "kept")
    sweep.attempts.write(
        Attempt(digest="0" * 64, name=JOBS[0], command="ecgexp", run_dir="x", status="FINISHED")
    )
    assert shown.lines() == ["job 1 of 3: seed=1 · done before, in x"]
    shown.seconds = 1080.0
    ran(sweep, 1, seconds=1075.0, metrics={"test/accuracy": 0.9123, "test/macro_f1": 0.5})
    assert shown.lines() == [
        "job 2 of 3, about 18 min left: seed=2 · finished in 18 min · test: accuracy 0.912, "
        "macro F1 0.500"
    ]
    ran(sweep, 2, "FAILED", reason="DataError: no beats")
    assert shown.lines() == ["job 3 of 3: seed=3 · failed: DataError: no beats"]
    assert shown.lines() == []


def test_sweep_typed_again_says_how_each_job_begins(sweep, tmp_path):
    ran(sweep, 0)
    ran(sweep, 1, "KILLED")
    again = opened(tmp_path, JOBS, "tuesday")
    shown = Shown(again)
    shown.display._thread = SimpleNamespace(start=lambda: None)
    shown.display.start()
    assert shown.lines()[1].startswith(
        "this sweep was started before: of its jobs 1 finished, 1 interrupted; its record: "
    )
    again.note(1, JOBS[1], "1" * 64, "ran", begins="resumed at epoch 3")
    assert shown.lines() == ["seed=2 · resumed at epoch 3"]
    ran(again, 1, begins="resumed at epoch 3", seconds=4.0)
    (line,) = shown.lines()
    assert "seed=2 · resumed at epoch 3 · finished in 4" in line


def test_job_says_why_it_starts_anew(sweep, tmp_path):
    def begins(number, resumed=None, digest=None):
        return sweep.how_it_begins(JOBS[number], digest or f"{number}" * 64, resumed, steps="round")

    assert begins(0) is None
    ran(sweep, 0, "KILLED")
    assert "kept nothing" in begins(0)
    assert "code" in begins(0, digest="f" * 64)
    (tmp_path / "x" / "checkpoints").mkdir(parents=True)
    (tmp_path / "x" / "checkpoints" / "step-000014-0.safetensors").touch()
    (attempt,) = sweep.attempts.all()
    assert begins(0, replace(attempt, run_dir=str(tmp_path / "x"))) == "resumed at round 15"
    ran(sweep, 0)
    assert "beats differ" in begins(0)
    again = replace(sweep, settings=SweepSettings(rerun=True))
    assert "rerun" in again.how_it_begins(JOBS[0], "0" * 64, None, steps="epoch")


def test_job_that_failed_before_is_shown_when_it_has_ended_again(sweep):
    ran(sweep, 0, "FAILED", reason="a full disk")
    again = Sweep.join(sweep.invocation)
    (sweep.invocation / "jobs" / "0.json").unlink()
    shown = Shown(again)
    again.note(0, JOBS[0], "0" * 64, "ran")
    assert shown.lines() == [], "its new attempt has not begun"
    ran(again, 0)
    assert len(shown.lines()) == 1


def test_search_is_counted_by_its_trials(tmp_path):
    sweep = opened(tmp_path, None)
    write_study(sweep.invocation, "a", 20)
    ran(sweep, 0)
    assert Shown(sweep).lines()[0].startswith("job 1 of 20")


def test_each_warning_of_the_jobs_is_shown_once(sweep, capsys):
    shown = Shown(sweep)
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    root.handlers = [LogHandler(logging.WARNING)]
    try:
        for number in range(3):
            with collected(sweep.invocation, number):
                logging.warning("a lead is missing")
                logging.warning("job %d is odd", number)
        logging.warning("after the jobs")
    finally:
        root.handlers = before
    assert shown.lines() == ["warning: a lead is missing", *odd(0, 1, 2)]
    assert capsys.readouterr() == ("", "warning: after the jobs\n")


def odd(*numbers):
    return [f"warning: job {number} is odd" for number in numbers]


def test_half_a_message_is_read_when_it_is_whole(tmp_path):
    (tmp_path / "messages").mkdir()
    messages, file = Messages(tmp_path), tmp_path / "messages" / "0.jsonl"
    file.write_text('"one"\n"tw')
    assert messages.new() == ["one"]
    file.write_text('"one"\n"two"\n')
    assert messages.new() == ["two"]


def test_job_prints_nothing_itself(capsys):
    console = job_console()
    console.print("a message")
    console.print_result("a result")
    with console.progress_bar("training") as progress_bar:
        progress_bar(1, 2)
    assert capsys.readouterr() == ("", "")
