"""Where a line of a command goes, and in which form."""

import io
import logging

import pytest
import yaml
from rich.table import Table

from ecgexp import console
from ecgexp.console import NOTE, Console, LogHandler, Stream
from ecgexp.settings.location import config_dir
from ecgexp.settings.redaction import RedactingFormatter

LONG = "records s026 lack a lead of dataset.leads and are left out " * 4


def stream(*, terminal=False, width=80):
    return Stream(file=io.StringIO(), force_terminal=terminal, width=width if terminal else None)


def test_results_are_on_stdout_and_messages_on_stderr(capsys):
    Console().print("a message")
    Console().print_result("a result")
    with Console().progress_bar("training"):
        pass
    assert capsys.readouterr() == ("a result\n", "a message\n")


@pytest.mark.parametrize("terminal", [False, True])
def test_message_is_never_wrapped(terminal):
    out = stream(terminal=terminal)
    out.write(LONG)
    assert out.file.getvalue() == f"{LONG}\n"


def test_table_in_a_pipe_is_neither_narrowed_nor_padded():
    out, table = stream(), Table("name", "overrides")
    table.add_row("a", LONG)
    table.add_row("b", "short")
    out.write(table)
    lines = out.file.getvalue().splitlines()
    assert any(LONG.strip() in line for line in lines)
    assert [line for line in lines if line != line.rstrip()] == []


def test_brackets_of_a_path_are_printed_as_they_are():
    out = stream()
    out.write("outputs/[red]/:smile:")
    assert out.file.getvalue() == "outputs/[red]/:smile:\n"


@pytest.mark.parametrize("kind", ["job_logging", "hydra_logging"])
def test_warnings_of_a_log_are_messages(kind, capsys):
    text = (config_dir() / "hydra" / kind / "plain.yaml").read_text(encoding="utf-8")
    handler = yaml.safe_load(text)["handlers"]["console"]
    assert handler["class"] == f"{LogHandler.__module__}.{LogHandler.__name__}"
    logger = logging.Logger("test")
    logger.addHandler(LogHandler())
    logger.handlers[0].setFormatter(RedactingFormatter("%(message)s"))
    logger.warning("%s password=hunter2", LONG)
    assert capsys.readouterr() == ("", f"warning: {LONG} password=***\n")


def test_note_of_a_log_is_shown_once_and_is_no_warning(capsys):
    logger = logging.Logger("test")
    logger.addHandler(LogHandler())
    for text in ("record 104 has no MLII", "record 104 has no MLII", "another"):
        logger.log(NOTE, "%s", text)
    logger.info("not shown")
    assert capsys.readouterr().err == "note: record 104 has no MLII\nnote: another\n"


def test_python_warning_is_one_line_without_its_place(capsys):
    logger = logging.Logger("py.warnings")
    logger.addHandler(LogHandler())
    logger.warning("%s", "/a/b.py:12: UserWarning: privacy.delta=1: too large\n  check(delta)\n")
    assert capsys.readouterr().err == "warning: privacy.delta=1: too large\n"


def test_notes_of_a_run_reach_the_console():
    text = (config_dir() / "hydra/job_logging/plain.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["handlers"]["console"]["level"] == NOTE


def test_log_line_does_not_break_a_bar(monkeypatch):
    out = stream(terminal=True)
    monkeypatch.setattr(console, "stderr", lambda: out)
    logger = logging.Logger("test")
    logger.addHandler(LogHandler())
    with Console(bars=out).progress_bar("training") as progress_bar:
        progress_bar(1, 2, "epoch 1")
        progress_bar.progress.refresh()
        begin = len(out.file.getvalue())
        logger.warning("in between")
        written = out.file.getvalue()[begin:]
    before, _, after = written.partition("warning: in between")
    assert before.startswith("\r\x1b[2K"), "the bar is erased first"
    assert "training" in after, "the bar is drawn again below the line"
