"""`ecgexp-new plugin NAME`: a package that works, is in style, and replaces nothing."""

import subprocess
import tomllib

import pytest
from plugin_packages import forget, install, on_path

from ecgexp.cli import new
from ecgexp.config.compose import load_experiment
from ecgexp.settings.declaration import ConfigError


@pytest.mark.parametrize(
    ("name", "option"), [("my-ecg", "my_ecg"), ("beats2", "beats2"), ("a_b-c3d", "abc3d")]
)
def test_new_plugin_is_found_by_its_option(tmp_path, name, option):
    folder = new.write_plugin(name, tmp_path / "made")
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    package = name.replace("-", "_")
    assert project["entry-points"] == {"ecgexp.plugins": {package: package}}
    (tmp_path / "path").mkdir()
    with on_path(tmp_path / "path") as place:
        files = (path for path in (folder / package).rglob("*") if path.is_file())
        texts = {
            path.relative_to(folder / package).as_posix(): path.read_text(encoding="utf-8")
            for path in files
        }
        install(place, package, texts)
        forget()
        experiment = load_experiment([f"model={option}", "model.channels=[8]"])
    assert experiment.model.channels == (8,)
    assert experiment.options()["model"] == option


def test_new_plugin_has_no_word_of_the_template_left(tmp_path):
    folder = new.write_plugin("my-ecg", tmp_path)
    for path in folder.rglob("*"):
        text = path.name + (path.read_text(encoding="utf-8") if path.is_file() else "")
        assert not {"PACKAGE", "OPTION", "CLASS", "VERSION"} & set(text.split("."))
        assert "PACKAGE" not in text


@pytest.mark.parametrize(
    "name", ["My", "1a", "a b", "../a", "", "a" * 60, "class", "json", "ecgexp", "numpy", "a--b"]
)
def test_name_that_is_no_package_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match=r"^NAME .*; use a name such as my-ecg\.$"):
        new.write_plugin(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_existing_folder_is_not_replaced(tmp_path, capsys):
    (tmp_path / "my-ecg").mkdir()
    (tmp_path / "my-ecg" / "mine").write_text("x", encoding="utf-8")
    assert new.main(["plugin", "my-ecg", "--output", str(tmp_path)]) == 2
    assert "exists already; use another name" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "my-ecg").iterdir()] == ["mine"]


def test_style_of_a_new_plugin_passes_ruff(tmp_path):
    folder = new.write_plugin("my-ecg", tmp_path)
    ruff = ["uvx", "-q", "ruff@0.14.5"]
    for words in (["check", "."], ["format", "--check", "."]):
        done = subprocess.run([*ruff, *words], cwd=folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout
