"""The examples in docstrings hold."""

import doctest
import importlib
from pathlib import Path

import pytest

import ecgexp

_PACKAGE = Path(ecgexp.__file__).parent


def _modules():
    """Modules whose docstrings have examples; the others are not imported."""
    for path in sorted(_PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if ">>> " in text:
            yield ".".join(path.relative_to(_PACKAGE.parent).with_suffix("").parts)


@pytest.mark.parametrize("name", list(_modules()))
def test_examples_of_the_docstrings_hold(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried
    assert failed == 0
    assert not list(tmp_path.iterdir())
