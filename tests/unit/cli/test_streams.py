"""Where a command's output goes.

Another locale, a full disk, a pipe that nobody reads, a stream that was closed.
"""

import io
import os
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest
from start_line import without_start

from ecgexp import __version__
from ecgexp.cli.streams import (
    FAILED_OUTPUT,
    READER_LEFT,
    command,
    say_started,
    softened,
    starting,
)

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[3]
COMMANDS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "scripts"
]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "PYTHONCOERCECLOCALE": "0"}
QUICK = (
    "ecgexp-plan",
    "--units=22",
    "trainer=federated",
    "partition=by_patient",
    "privacy=patient",
    "privacy.noise_multiplier=1",
    "privacy.accountant=rdp",
    "trainer.num_rounds=1",
)


def shell(line, cwd, **environment):
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        cwd=cwd,
        check=False,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )


def line(words):
    return " ".join([str(BIN / words[0]), *words[1:]])


@pytest.mark.parametrize("name", COMMANDS)
def test_help_under_an_ascii_locale_is_shown_in_ascii(name, tmp_path):
    done = shell(line((name, "--help")), tmp_path, **ASCII)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert done.stdout.isascii()


@pytest.mark.parametrize("words", [QUICK, ("ecgexp", "--cfg", "job")])
def test_answer_under_an_ascii_locale_spells_symbols_out(words, tmp_path):
    done = shell(line(words), tmp_path, **ASCII)
    assert (done.returncode, without_start(done.stderr)) == (0, b"")
    assert done.stdout.isascii()
    assert b"eps" in done.stdout


@pytest.mark.parametrize("output", ["", "a result"])
def test_a_silent_command_says_that_it_has_started(output, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", said := io.StringIO())
    monkeypatch.setattr(sys, "argv", ["/bin/ecgexp-report"])
    with softened():
        print(output, end="")
        with starting("ecgexp-report", after_s=0):
            for one in threading.enumerate():
                if isinstance(one, threading.Timer):
                    one.join()
            say_started("ecgexp-report")  # not a second time
    lines = said.getvalue().splitlines()
    assert [one.split(" · ")[0] for one in lines] == ["ecgexp-report " + __version__][
        bool(output) :
    ]


@pytest.mark.parametrize(
    ("redirection", "code", "says"),
    [
        (">/dev/full", FAILED_OUTPUT, b"No space left on device"),
        (">/dev/full 2>/dev/full", FAILED_OUTPUT, b""),
        (">&-", 0, b""),
        ("<&- >&- 2>&-", 0, b""),
        ("| { exec <&-; sleep 0; }; exit ${PIPESTATUS[0]}", READER_LEFT, b""),
    ],
)
def test_answer_that_cannot_be_written_sets_the_exit_code(redirection, code, says, tmp_path):
    done = shell(f"{line(('ecgexp-report', '--help'))} {redirection}", tmp_path)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == bool(says)


def test_error_that_cannot_be_shown_keeps_its_exit_code(tmp_path):
    assert (
        shell(
            f"{line(('ecgexp-plan', '--units', '0'))} >/dev/full 2>/dev/full", tmp_path
        ).returncode
        == 2
    )


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "scripts").glob("*.py")))
def test_every_script_is_an_entry_point(script):
    assert "@command\ndef main(" in (ROOT / "scripts" / script).read_text(encoding="utf-8")


@pytest.mark.parametrize("target", COMMANDS.values())
def test_every_console_script_is_an_entry_point(target):
    module = (
        (ROOT / target.partition(":")[0].replace(".", "/"))
        .with_suffix(".py")
        .read_text(encoding="utf-8")
    )
    assert "@command\ndef main(" in module or "main = command(" in module


class Full(io.StringIO):
    error = 28

    def write(self, text):
        raise OSError(self.error, "as said")


def test_work_continues_without_a_place_for_progress(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Full())
    monkeypatch.setattr(sys, "stderr", Full())
    done = []

    def work():
        for number in range(3):
            print(number)
            print(number, file=sys.stderr)
            done.append(number)

    assert command(lambda _: work(), answers=lambda: False)(None) == 0
    assert done == [0, 1, 2]


@pytest.mark.parametrize(("error", "code"), [(28, FAILED_OUTPUT), (32, READER_LEFT)])
def test_answer_that_is_lost_is_not_a_success(error, code, monkeypatch):
    monkeypatch.setattr(Full, "error", error)
    monkeypatch.setattr(sys, "stdout", Full())
    assert command(lambda _: print("ε"))(None) == code
    assert command(lambda _: print("ε") or 2)(None) == 2


def test_streams_are_restored_after_a_command(capsys):
    before = sys.stdout, sys.stderr
    with softened():
        print("ε")
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr().out == "ε\n"


@pytest.mark.parametrize(
    ("encoding", "text", "shown"),
    [
        ("ascii", "ε 1 · δ ≤ 1e-5 … é 心", "eps 1 | delta <= 1e-5 ... e ?"),
        ("latin-1", "é ε", "é eps"),
        ("utf-8", "ε \udcff", "ε ?"),
    ],
)
def test_characters_beyond_the_encoding_are_spelled_out(encoding, text, shown, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    with softened():
        print(text, end="")
    assert raw.getvalue().decode(encoding) == shown
