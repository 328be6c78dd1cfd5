"""A folder that holds a run or a sweep is refused, and is as it was afterwards."""

import subprocess
import sys

import pytest

from ecgexp.settings.declaration import ConfigError
from ecgexp.tracking.local.lock import LOCK, discard, discard_unheld, free_beside, hold

HOLDER = """
import sys
from pathlib import Path
from ecgexp.tracking.local.lock import hold
with hold(Path(sys.argv[1]), new=True):
    print("held", flush=True)
    sys.stdin.read()
"""


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def start(folder):
    with hold(folder, new=True):
        pytest.fail("the folder was given away")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.json", '{"status": "FINISHED"}'),
        ("run.json", '{"status": "KILLED"}'),
        ("run.json", '{"status": "RUNNING"}'),
        ("run.json", "{half"),
        ("result.json", "{}"),
        ("metrics.jsonl", ""),
        ("privacy_journal.jsonl", "{}\n{}\n"),
        ("sweep.json", "{}"),
        ("multirun.yaml", ""),
    ],
)
def test_start_where_a_run_is_is_refused_with_both_remedies(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    before = content(tmp_path)
    with pytest.raises(
        ConfigError, match=r"hydra\.run\.dir=.*another hydra\.run\.dir=, or resume="
    ):
        start(tmp_path)
    assert content(tmp_path) == before


def test_start_where_another_process_works_is_refused(tmp_path):
    (tmp_path / ".hydra").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=r"another process.*another hydra\.run\.dir="):
            start(tmp_path)
        assert (tmp_path / ".hydra").is_dir()
    finally:
        process.communicate("")
    with hold(tmp_path, new=True):
        pass


def test_folder_with_files_of_others_may_hold_a_run(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "model").mkdir()
    with hold(tmp_path, new=True), hold(tmp_path, new=True):
        (tmp_path / "run.json").write_text("{}")
    with hold(tmp_path, new=False):
        pass


def test_discard_keeps_what_others_wrote(tmp_path):
    for name in ("own", "others"):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        (tmp_path / name / ".hydra" / "overrides.yaml").touch()
        (tmp_path / name / LOCK).touch()
    (tmp_path / "others" / "notes.txt").touch()
    for name in ("own", "others"):
        discard(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["others"]
    discard_unheld(tmp_path / "others")
    assert (tmp_path / "others" / "notes.txt").exists()


def test_discard_keeps_the_message_to_which_the_console_refers(tmp_path):
    (tmp_path / "run" / "private").mkdir(parents=True)
    (tmp_path / "run" / "private" / "error.txt").touch()
    discard(tmp_path / "run")
    assert (tmp_path / "run" / "private" / "error.txt").exists()


def test_job_where_a_run_is_gets_a_folder_beside(tmp_path):
    for number in (1, 2, 3):
        folder = free_beside(tmp_path / "0")
        assert folder.name == ("0" if number == 1 else f"0-{number}")
        (folder / "run.json").touch()
