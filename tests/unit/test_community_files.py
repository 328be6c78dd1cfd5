"""Files for contributors agree with what they repeat.

The version, the style checker and the places that they name.
"""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def load(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_citation_has_version_and_license_of_the_package():
    citation = load("CITATION.cff")
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)


def test_style_checker_has_one_version():
    hooks = {repo["repo"]: repo.get("rev", "") for repo in load(".pre-commit-config.yaml")["repos"]}
    versions = {hooks["https://github.com/astral-sh/ruff-pre-commit"].removeprefix("v")}
    for path in (".ci/run", "CONTRIBUTING.md"):
        versions |= set(re.findall(r"ruff@([\d.]+)", (ROOT / path).read_text(encoding="utf-8")))
    assert len(versions) == 1


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda path: path.stem
)
def test_issue_form_has_name_and_labeled_fields(path):
    form = load(path)
    assert form["name"]
    assert form["description"]
    fields = [part for part in form["body"] if part["type"] != "markdown"]
    assert fields
    assert all(part["id"] and part["attributes"]["label"] for part in fields)


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md"])
def test_named_files_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    named = re.findall(r"\]\(([^)#]+)\)", text)
    named += re.findall(r"`((?:ecgexp|scripts|tests|docs|conf)/[\w./]+)`", text)
    assert named
    assert not [path for path in named if not (ROOT / path).exists()]


def test_security_says_what_the_noise_generator_is():
    """The generator that is named is the one in the code."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "Philox4x64-10" in text
    assert "not cryptographic" in text
    noise = (ROOT / "ecgexp/privacy/noise.py").read_text(encoding="utf-8")
    assert "np.random.Philox(" in noise
