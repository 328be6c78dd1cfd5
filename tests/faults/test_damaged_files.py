"""Damaged files of every kind are read, left out, or refused in one line by the commands.

`scripts/damage_files.py` does the same with ten thousand inputs.
"""

import logging
from collections import Counter

import damage_files
import pytest
from fuzzing.commands import Command, make_commands
from fuzzing.verdicts import FINDING, REFUSED

INPUTS = 250


@pytest.fixture(scope="module")
def commands():
    yield tuple(command for command in make_commands() if "page" not in command.name)
    logging.disable(logging.NOTSET)  # the campaign, which is a process of its own, turns it off


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


def test_damaged_files_end_in_no_traceback(commands, folder):
    found = Counter()
    for number in range(INPUTS):
        verdict = damage_files.try_input(commands, 19, number, folder)
        assert verdict.outcome != FINDING, f"{verdict.kind}\n{verdict.detail}"
        found[verdict.outcome] += 1
    assert set(found) == {REFUSED, damage_files.READ}


def test_undamaged_files_are_read_by_every_command(commands, folder):
    damage_files.try_input(commands, 19, 0, folder)
    for command in commands:
        damage_files._SNAPSHOTS[folder / "world"].restore()
        command.run(folder / "world")


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyError, RecursionError, OSError])
def test_command_that_raises_is_found(folder, error):
    def fail(world):
        raise error("on purpose")

    command = Command(name="a command", reads=("outputs/run0/run.json",), run=fail)
    assert damage_files.try_input((command,), 1, 0, folder).outcome == FINDING


def test_every_kind_of_file_is_damaged(commands, folder):
    damage_files.try_input(commands, 19, 0, folder)
    damage_files._SNAPSHOTS[folder / "world"].restore()
    read = {pattern for command in commands for pattern in command.reads}
    unread = [pattern for pattern in read if not list((folder / "world").glob(pattern))]
    assert unread == []
