"""Commands in messages can be typed where the user is: by name, by path, or by `uv run`."""

import ast
import re
import sys
import sysconfig
from pathlib import Path

import pytest

from ecgexp.settings import installation
from ecgexp.settings.installation import to_type

PACKAGE = Path(installation.__file__).parents[1]
OF_OTHERS = r"(tensorboard|wandb|mlflow) (--|sync |ui )"
COMMAND = re.compile(r"(?<![\w/.-])ecgexp(-[a-z]+|(?= -| [a-z_.]+=|`))(?![\w{])" + f"|{OF_OTHERS}")
PROGRAM = re.compile(r"ecgexp(-[a-z]+)*")
# Stored with a run or a page, which others read elsewhere, so they name the command alone.
STORED = {
    "experiment/final_evaluation.py": "ecgexp-open RUN",
    "analysis/inspection/findings.py": "ecgexp-predict",
    "analysis/inspection/page.py": "ecgexp-inspect",
    "cli/leave_one_out.py": "result of ecgexp-leave-one-out",
    "tracking/mlflow/health.py": "ecgexp-doctor",
    "tracking/ending.py": "ecgexp-sync there",  # on another machine
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An environment in a project, and a shell in another folder that does not find it."""
    project, away = tmp_path / "a project", tmp_path / "away"
    scripts = project / ".venv" / "bin"
    scripts.mkdir(parents=True)
    away.mkdir()
    (scripts / "ecgexp-ui").write_text("#!/bin/sh\n")
    (scripts / "ecgexp-ui").chmod(0o755)
    (project / "pyproject.toml").touch()
    monkeypatch.setattr(sys, "prefix", str(project / ".venv"))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(scripts))
    monkeypatch.setattr(installation, "_STARTED_IN", away)
    monkeypatch.setenv("PATH", str(away))
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    return project


def test_command_on_the_path_is_typed_by_name(place, monkeypatch):
    monkeypatch.setenv("PATH", str(place / ".venv/bin"))
    assert to_type("ecgexp-ui --port 5001") == "ecgexp-ui --port 5001"


def test_command_outside_the_path_is_typed_by_its_path(place, monkeypatch):
    assert to_type(["ecgexp-ui", "a b"]) == f"'{place}/.venv/bin/ecgexp-ui' 'a b'"
    monkeypatch.setattr(installation, "_STARTED_IN", place)
    assert to_type("ecgexp-ui") == ".venv/bin/ecgexp-ui"


def test_another_program_of_that_name_is_not_meant(place, monkeypatch):
    other = place.parent / "away" / "ecgexp-ui"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert to_type("ecgexp-ui").endswith(".venv/bin/ecgexp-ui'")


def test_program_that_is_not_installed_is_named(place):
    assert to_type("ecgexp-report RUN") == "ecgexp-report RUN"


def test_command_under_uv_is_typed_by_uv(place, monkeypatch):
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    monkeypatch.setenv("PATH", str(place / ".venv/bin"))  # as uv does
    assert to_type("ecgexp-ui") == f"uv run --project '{place}' ecgexp-ui"
    monkeypatch.setattr(installation, "_STARTED_IN", place / "below")
    assert to_type("ecgexp-fetch NAME") == "uv run ecgexp-fetch NAME"


def test_folder_that_was_removed_does_not_matter(place, monkeypatch):
    monkeypatch.setattr(installation, "_STARTED_IN", None)
    assert to_type("ecgexp-ui") == f"'{place}/.venv/bin/ecgexp-ui'"


def test_every_message_with_a_command_uses_to_type():
    bare = []
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if "results_page" in path.parts:  # it writes documentation
            continue
        for text in _texts(ast.parse(path.read_text(encoding="utf-8"))):
            found = COMMAND.search(text) and not PROGRAM.fullmatch(text.partition(":")[0])
            if found and STORED.get(name, "nothing") not in text:
                bare.append((name, text))
    assert bare == []


def _texts(tree):
    """Yield the texts that may be messages: neither docstrings, names of programs nor examples."""
    skipped = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            skipped |= {id(one.value) for one in body if isinstance(one, ast.Expr)}
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_EXAMPLE":
            skipped |= {id(one) for one in ast.walk(node)}
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "to_type":
            skipped |= {id(one) for one in ast.walk(node)}
        if isinstance(node, ast.keyword) and node.arg == "help":  # of the command's own options
            skipped |= {id(one) for one in ast.walk(node)}
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in skipped and not PROGRAM.fullmatch(node.value):
            yield node.value
