"""The examples in docstrings hold, and each class that an option names has one."""

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest
from finished_runs import CENTRALIZED, finished

import ecgexp
from ecgexp.experiment import Experiment
from ecgexp.settings.registry import names_of, settings_class

_PACKAGE = Path(ecgexp.__file__).parent
_KINDS = [
    field.annotation
    for field in Experiment.__pydantic_fields__.values()
    if getattr(field.annotation, "__module__", "").startswith("ecgexp.")
]


def _modules():
    """Modules whose docstrings have examples; the others are not imported."""
    for path in sorted(_PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if ">>> " in text:
            yield ".".join(path.relative_to(_PACKAGE.parent).with_suffix("").parts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the two runs that examples read."""
    folder = tmp_path_factory.mktemp("examples")
    for name, right in (("first", 50), ("second", 60)):
        confusion = np.array([[right, 70 - right], [0, 30]])
        finished(
            folder / "outputs" / name, params=CENTRALIZED, classes=("N", "V"), confusion=confusion
        )
    return folder


@pytest.mark.parametrize("name", list(_modules()))
def test_examples_of_the_docstrings_hold(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried
    assert failed == 0
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("name", sorted({name for kind in _KINDS for name in names_of(kind)}))
def test_class_of_an_option_has_an_example(name):
    assert ">>> " in settings_class(name).__doc__


def test_experiment_has_an_example():
    assert ">>> " in Experiment.__doc__
