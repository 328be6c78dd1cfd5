"""Settings classes of plug-ins: found by their entry point only, and imported only if named."""

import sys

import pytest
from plugin_packages import MODEL, SETTINGS, forget, install, on_path

from ecgexp.config.compose import load_experiment
from ecgexp.config.untrusted_overrides import guarded
from ecgexp.settings import plugins
from ecgexp.settings.build import build_node, to_node
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.registry import is_public_name, public_name, settings_class

INIT = "from mine.models import Net as Net\n"
HOSTILE = SETTINGS + (
    "from pathlib import Path as Path\n"
    "from ecgexp.models import Cnn1d as Cnn1d\n"
    "from mine.models import Net as Net, helper as helper, Late as Late, plain as Other\n"
    "import os\n"
    "@settings\n"
    "class Own:\n"
    "    width: int = 1\n"
    "    @settings\n"
    "    class Inner:\n"
    "        width: int = 1\n"
)
HOSTILE_MODELS = MODEL + (
    "def helper(): ...\n"
    "class plain: ...\n"
    "@settings\n"
    "class Hidden: ...\n"
    "@settings\n"
    "class Late: ...\n"
    "import subprocess\n"
    "Late = subprocess.Popen\n"
)
YAML = "_target_: mine.Net\nwidth: 4\n"


@pytest.fixture
def place(tmp_path):
    with on_path(tmp_path):
        yield tmp_path


@pytest.fixture
def mine(place):
    install(place, "mine", {"__init__.py": INIT, "models.py": MODEL, "conf/model/mine.yaml": YAML})
    forget()
    return place


@pytest.fixture
def hostile(place):
    install(place, "mine", {"__init__.py": HOSTILE, "models.py": HOSTILE_MODELS})
    forget()
    return place


def test_class_of_a_plugin_has_a_public_name(mine):
    found = settings_class("mine.Net", "model")
    assert public_name(found) == "mine.Net"
    assert build_node(to_node(found(width=7))) == found(width=7)


def test_option_of_a_plugin_composes_and_is_imported_then(mine):
    load_experiment(["model=mlp", "features=handcrafted"])
    assert is_public_name("mine.Net")
    assert "mine" not in sys.modules
    experiment = load_experiment(["model=mine", "model.width=9"])
    assert (type(experiment.model).__name__, experiment.model.width) == ("Net", 9)
    assert "mine" in sys.modules


def test_name_without_an_entry_point_is_refused(place):
    (place / "mine").mkdir()
    (place / "mine" / "__init__.py").write_text(MODEL, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"model\._target_=mine\.Net: .*install the plug-in mine"):
        settings_class("mine.Net", "model")
    assert "mine" not in sys.modules


@pytest.mark.parametrize(
    "target",
    [
        "mine.models.Net",  # a module
        "mine.Net.build",  # an attribute of an allowed class
        "mine.Own.Inner",
        "mine.Path",  # imported from elsewhere
        "mine.Cnn1d",
        "mine.os.system",
        "mine.os",
        "mine.helper",
        "mine.Other",
        "mine.Hidden",  # not imported in __init__
        "mine.__init__.Own",
        "mine",
        "mine.",
        ".mine.Net",
        "mine.Net\n",
        "mine..Net",
    ],
)
def test_anything_else_of_a_plugin_is_refused_unimported(hostile, target):
    with pytest.raises(ConfigError, match=r"(?s)model\._target_=.*; use "):
        settings_class(target, "model")
    assert not is_public_name(target)
    assert not {"mine", "mine.models"} & set(sys.modules)


def test_class_that_its_module_replaces_is_refused(hostile):
    assert settings_class("mine.Own").__name__ == "Own"
    with pytest.raises(ConfigError, match=r"model\._target_=mine\.Late: "):
        settings_class("mine.Late", "model")


def test_name_of_two_distributions_is_refused(mine):
    install(mine, "mine", {}, distribution="other")
    forget()
    with pytest.raises(ConfigError, match=r"mine 1\.0 and other 1\.0 both declare.*uninstall"):
        settings_class("mine.Net", "model")


@pytest.mark.parametrize("name", ["ecgexp", "hydra_plugins"])
def test_own_name_declared_by_a_plugin_is_refused(place, name):
    install(place, name, {}, distribution="thief")
    forget()
    (one,) = plugins.refused()
    assert (one.name, "uninstall" in one.why) == (name, True)
    assert settings_class("ecgexp.models.Cnn1d").__module__ == "ecgexp.models.cnn1d"


@pytest.mark.parametrize("value", ["mine.models", "mine:Net", "os", "other"])
def test_entry_point_of_another_module_is_refused(place, value):
    install(place, "mine", {"__init__.py": INIT}, value=value)
    forget()
    with pytest.raises(ConfigError, match=r"the plug-in mine cannot be used: .*use my_ecg ="):
        settings_class("mine.Net", "model")


def test_plugin_that_cannot_be_imported_is_one_line(place):
    install(place, "mine", {"__init__.py": INIT, "models.py": f"import nowhere\n{MODEL}"})
    install(place, "good", {"__init__.py": MODEL})
    forget()
    with pytest.raises(
        ConfigError, match=r"^model\._target_=mine\.Net: .*No module.*nowhere"
    ) as no:
        settings_class("mine.Net", "model")
    assert "\n" not in str(no.value)
    assert settings_class("good.Net").__name__ == "Net"


def test_plugin_with_a_syntax_error_breaks_no_other(place):
    install(place, "mine", {"__init__.py": "def (\n"})
    install(place, "good", {"__init__.py": MODEL})
    forget()
    with pytest.raises(ConfigError, match=r"model\._target_=mine\.Net"):
        settings_class("mine.Net", "model")
    assert is_public_name("good.Net")


def test_yaml_of_a_plugin_replaces_none_of_ours(mine):
    install(mine, "rude", {"__init__.py": MODEL, "conf/model/mlp.yaml": "_target_: rude.Net\n"})
    forget()
    model = load_experiment(["model=mlp", "features=handcrafted"]).model
    assert type(model).__name__ == "Mlp"


def test_option_of_two_plugins_is_refused(mine):
    install(mine, "rude", {"__init__.py": MODEL, "conf/model/mine.yaml": "_target_: rude.Net\n"})
    forget()
    with guarded(), pytest.raises(ConfigError, match=r"model=mine: the plug-ins .* both .*uninst"):
        load_experiment(["model=mine"])


def test_yaml_of_a_plugin_may_not_set_hydra(mine):
    text = "# @package _global_\nhydra: {callbacks: {x: {_target_: os.getcwd}}}\n"
    (mine / "mine/conf/experiment").mkdir()
    (mine / "mine/conf/experiment/bad.yaml").write_text(text, encoding="utf-8")
    with guarded(), pytest.raises(ConfigError, match=r"experiment/bad\.yaml .* is refused"):
        load_experiment(["experiment=bad"])


def test_code_of_a_plugin_changes_with_its_files(mine):
    before = plugins.code_of({"model": {"_target_": "mine.Net"}})
    assert before["mine"].startswith("mine 1.0 sha256:")
    (mine / "mine" / "__pycache__").mkdir()
    (mine / "mine" / "__pycache__" / "x.pyc").touch()
    assert plugins.code_of([{"_target_": "mine.Net"}]) == before
    (mine / "mine" / "conf" / "model" / "mine.yaml").write_text("_target_: mine.Net\n", "utf-8")
    assert plugins.code_of([{"_target_": "mine.Net"}]) != before
    assert plugins.code_of({"model": {"_target_": "ecgexp.models.Cnn1d"}}) == {}
