"""Public names of packages: lazy, one for each settings class, and the only `_target_` there is."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import ecgexp
from ecgexp.config.compose import load_experiment
from ecgexp.models import Cnn1d
from ecgexp.settings.build import build_node, to_node
from ecgexp.settings.declaration import ConfigError, settings
from ecgexp.settings.location import config_dir
from ecgexp.settings.registry import public_name, settings_class

PACKAGES = [
    module.name for module in pkgutil.iter_modules(ecgexp.__path__, "ecgexp.") if module.ispkg
]
EXPORTING = [name for name in PACKAGES if hasattr(importlib.import_module(name), "__all__")]
HEAVY = (
    "tensorflow",
    "tensorflow_federated",
    "mlflow",
    "matplotlib",
    "pandas",
    "wfdb",
    "scipy",
    "sklearn",
    "dp_accounting",
    "hydra",
)
_CONF = config_dir()
_OPTIONS = sorted(path for path in _CONF.rglob("*.yaml") if "hydra" not in path.parts)
_EXPERIMENTS = sorted(
    path.relative_to(_CONF / "experiment").with_suffix("").as_posix()
    for path in (_CONF / "experiment").rglob("*.yaml")
)


def targets_in(node):
    if isinstance(node, dict):
        yield from ([node["_target_"]] if "_target_" in node else [])
        for value in node.values():
            yield from targets_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets_in(value)


def imported_names(package):
    """Public name -> module, by the imports that the type checker reads."""
    source = Path(importlib.import_module(package).__file__).read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.asname:
                    yield alias.name, node.module


def test_importing_all_packages_loads_nothing_heavy():
    code = (
        f"import importlib, sys\nfor name in {PACKAGES}: importlib.import_module(name)\n"
        f"print(sorted({set(HEAVY)} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", EXPORTING)
def test_public_name_is_defined_in_its_own_package_once(package):
    names = dict(imported_names(package))
    assert importlib.import_module(package).__all__ == sorted(names)
    for name, module in names.items():
        assert module.startswith(f"{package}."), f"{name} belongs to another package"
        tree = ast.parse(Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8"))
        assert name in _defined(tree), f"{module} imports {name} from elsewhere"


def _defined(tree):
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign):
            yield node.target.id


@pytest.mark.parametrize("package", EXPORTING)
def test_public_name_is_not_that_of_a_module(package):
    found = importlib.import_module(package)
    modules = {module.name for module in pkgutil.iter_modules(found.__path__)}
    assert not modules & set(found.__all__)  # importing the module would hide the name


def test_lazy_package_refuses_and_lists_names():
    import ecgexp.models

    with pytest.raises(AttributeError, match="'ecgexp.models' has no attribute 'Cnn7d'"):
        ecgexp.models.Cnn7d  # noqa: B018  (the access is what is tested)
    assert {"Cnn1d", "Mlp"} <= set(dir(ecgexp.models))


@pytest.mark.parametrize("path", _OPTIONS, ids=lambda path: path.relative_to(_CONF).as_posix())
def test_every_target_of_a_yaml_file_is_public(path):
    node = yaml.safe_load(path.read_text(encoding="utf-8"))
    node.pop("hydra", None) if isinstance(node, dict) else None  # instantiated by Hydra
    for target in targets_in(node):
        assert public_name(settings_class(target)) == target


@pytest.mark.parametrize("name", _EXPERIMENTS)
def test_every_part_of_an_experiment_has_a_public_name(name):
    node = to_node(load_experiment([f"experiment={name}"]))
    targets = set(targets_in(node))
    assert len(targets) > 10
    assert all(re.fullmatch(r"ecgexp\.[a-z]+\.[A-Z]\w+", target) for target in targets)
    assert build_node(node) == load_experiment([f"experiment={name}"])


def test_class_that_moves_to_another_module_keeps_its_name(monkeypatch):
    monkeypatch.setattr(Cnn1d, "__module__", "ecgexp.models.moved.again")
    assert public_name(Cnn1d) == "ecgexp.models.Cnn1d"
    assert to_node(Cnn1d())["_target_"] == "ecgexp.models.Cnn1d"
    assert settings_class("ecgexp.models.Cnn1d") is Cnn1d


def test_settings_class_outside_the_packages_is_not_written():
    @settings
    class Own:
        width: int = 1

    with pytest.raises(
        ConfigError, match=r"Own: no package of ecgexp and no plug-in .*use a settings class"
    ):
        to_node({"model": Own()})


@pytest.mark.parametrize(
    ("target", "remedy"),
    [
        ("ecgexp.models.cnn1d.Cnn1d", "ecgexp.models.Cnn1d"),
        ("ecgexp.training.federated.trainer.Federated", "ecgexp.training.Federated"),
        ("ecgexp.splits.InterPatient", "ecgexp.data.InterPatient"),
        ("ecgexp.training.Federatd", "ecgexp.training.Federated"),
    ],
)
def test_other_name_of_a_class_is_refused_with_the_public_one(target, remedy):
    message = (
        rf"^model\._target_={re.escape(target)}: .*; use model\._target_={re.escape(remedy)}\.$"
    )
    with pytest.raises(ConfigError, match=message):
        settings_class(target, "model")


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "ecgexp_evil.Thing",
        "ecgexp.models.classifier.json.dumps",
        "ecgexp.settings.build.build_node",
        "ecgexp.models.cnn1d.Any",
        "ecgexp.nowhere.Thing",
        "ecgexp.models",
        "ecgexp.models.load_classifier",
        "ecgexp.models.__getattr__",
        "ecgexp.privacy.PrivacyPlan",
        "ecgexp.conf.X",
        "ecgexp.experiment.run.Path",
        "",
        ".",
        "ecgexp.models.Cnn1d\n",
        7,
        None,
        ["ecgexp.models.Cnn1d"],
    ],
)
def test_anything_else_is_refused_in_one_line(target):
    with pytest.raises(
        ConfigError, match=r"(?s)^model\._target_=.*; use .*ecgexp\.\w+\.[A-Z]"
    ) as error:
        settings_class(target, "model")
    assert len(str(error.value).strip().splitlines()) == 1 or "\n" in str(target)


def test_refused_target_imports_nothing():
    code = (
        "import sys\nfrom ecgexp.settings.registry import settings_class\n"
        "try: settings_class('ecgexp.clipping.ghost.GhostClipper')\nexcept ValueError: pass\n"
        "try: settings_class('xmlrpc.client.ServerProxy')\nexcept ValueError: pass\n"
        "print('ecgexp.clipping.ghost' in sys.modules, 'xmlrpc' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
