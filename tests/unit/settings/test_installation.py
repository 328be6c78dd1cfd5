"""What messages advise where something is not installed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from start_line import after_start

from ecgexp.settings import installation
from ecgexp.settings.declaration import ConfigError
from ecgexp.training.centralized import Centralized
from ecgexp.training.federated.trainer import Federated

PIP = 'pip install --no-deps -r "$(ecgexp-doctor --federated-requirements)"'


@pytest.fixture
def wheel(monkeypatch):
    """An installed wheel on Linux x86-64 without the federated requirements."""
    monkeypatch.setattr(installation, "is_checkout", lambda: False)
    monkeypatch.setattr(installation, "_FEDERATED", ("tensorflow_federated_is_away",))
    monkeypatch.setattr(installation.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(sys, "platform", "linux")


def test_federated_run_without_tff_names_the_command_of_pip(wheel):
    with pytest.raises(ConfigError, match="trainer=federated") as refused:
        Federated().check_installed()
    assert PIP in str(refused.value)
    Centralized().check_installed()


def test_federated_run_on_another_platform_names_it(wheel, monkeypatch):
    monkeypatch.setattr(installation.platform, "machine", lambda: "arm64")
    with pytest.raises(ConfigError, match="use Linux x86-64"):
        Federated().check_installed()


def test_extra_is_installed_by_uv_in_a_checkout_else_by_pip(monkeypatch):
    assert "uv sync --extra gpu" in installation.install_extra("gpu")
    monkeypatch.setattr(installation, "is_checkout", lambda: False)
    assert "pip install 'ecgexp[gpu]'" in installation.install_extra("gpu")


REFUSED = """
import sys
from pathlib import Path
from ecgexp.settings import installation
installation._FEDERATED = ("tensorflow_federated_is_away",)
sys.argv[1:] = ["trainer=federated", "tracking=none", "hydra.run.dir=run"]
from ecgexp.cli.run import main
try:
    main()
except SystemExit as ended:
    print(ended.code, *(name for name in ("tensorflow", "mlflow") if name in sys.modules))
"""


def test_federated_run_is_refused_before_tensorflow_is_imported(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", REFUSED], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "2\n"
    error = after_start(done.stderr)
    assert error.count("\n") == 1
    assert error.startswith("ecgexp: trainer=federated: ")
    assert not (tmp_path / "run").exists()


def test_no_message_advises_what_only_a_checkout_has():
    package = Path(installation.__file__).parents[1]
    advised = [
        (path.relative_to(package).as_posix(), node.value)
        for path in package.rglob("*.py")
        # They write the documentation of a checkout.
        if "results_page" not in path.parts and path.name != "reported_epsilon.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if "uv run" in node.value or "scripts/" in node.value.replace("`scripts/", "")
    ]
    assert advised == []
