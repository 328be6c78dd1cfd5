"""Exceptions from the type check that CI runs: few, and each with its rule and reason."""

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "ecgexp"
MOST_IGNORES = 20
COMPLETE = re.compile(r"# pyright: ignore\[\w+\]  # \S.*")


def ignores():
    for path in sorted(PACKAGE.rglob("*.py")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "pyright:" in line or "type: ignore" in line:
                yield path.name, line


def test_type_ignores_name_their_rule_and_reason():
    assert not [(name, line) for name, line in ignores() if not COMPLETE.search(line)]


def test_type_ignores_are_few():
    assert len(list(ignores())) <= MOST_IGNORES
