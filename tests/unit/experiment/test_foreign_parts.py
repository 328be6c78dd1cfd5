"""Objects given in Python are refused if no file could name them."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from plugin_packages import MODEL, forget, install, on_path
from pydantic import ValidationError

from ecgexp.config import load_experiment
from ecgexp.experiment.part_checks import check_can_be_loaded
from ecgexp.experiment.plugin_parts import plugin_notes
from ecgexp.experiment.run import run
from ecgexp.models import Cnn1d
from ecgexp.settings import settings
from ecgexp.settings.declaration import ConfigError


@settings
class Own(Cnn1d):
    """A model without a public name."""


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("model", SimpleNamespace(required_features=frozenset())),
        ("loss", lambda labels, logits: logits),
        ("augmentation", None),
    ],
)
def test_part_that_is_no_settings_object_is_refused(part, value):
    # Pydantic wraps what a `__post_init__` raises.
    with pytest.raises(ValidationError, match=rf" {part}=<.*>: could not be loaded again .*; use "):
        replace(load_experiment(), **{part: value})


def test_model_without_a_public_name_is_refused_before_a_run(tmp_path):
    experiment = replace(load_experiment(["tracking=none"]), model=Own())
    with pytest.raises(ConfigError, match=r"^model=<.*Own>: could not be loaded again .*; use "):
        run(experiment, tmp_path, config={"seed": 0})
    assert not list(tmp_path.iterdir())


def test_guarantee_with_a_plugin_has_a_note(tmp_path):
    private = ["trainer=dp", "privacy.noise_multiplier=1"]
    yaml = {"conf/model/mine.yaml": "_target_: mine.Net\n"}
    with on_path(tmp_path):
        install(tmp_path, "mine", {"__init__.py": MODEL, **yaml})
        forget()
        experiment = load_experiment(["model=mine", *private])
        check_can_be_loaded(experiment)
        (note,) = plugin_notes(experiment)["plug-ins"]
        assert "code of the plug-in mine (mine 1.0): model; see privacy_statement.txt" in note
        assert plugin_notes(load_experiment(["model=mine"])) == {}
        assert plugin_notes(load_experiment(private)) == {"plug-ins": []}
