"""Every command line and Python example of README.md and docs/ is one that works."""

import doctest
import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep

from ecgexp.config.compose import load_experiment
from ecgexp.privacy import publication

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    if not {"generated", "_build"} & set(path.relative_to(ROOT).parts)
)
_BLOCK = re.compile(r"^```(?:console|sh|text|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINE = re.compile(
    r"^(?:\$ )?(?:\w+=\S+ )*uv run (?:--extra \S+ )?(?P<words>(?:python |ecgexp).*)$", re.MULTILINE
)
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


def _commands():
    for page in PAGES:
        for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in _LINE.finditer(block):
                yield page.relative_to(ROOT).as_posix(), shlex.split(line["words"], comments=True)


COMMANDS = [(page, words) for page, words in _commands()]
_JOBS = [
    (page, words[1:]) for page, words in COMMANDS if words[0] == "ecgexp" and "--help" not in words
]


def _alternatives(override):
    """What the first, second, … job of a sweep gets of one override."""
    found = OverridesParser.create().parse_override(override)
    if not found.is_sweep_override():
        return [override]
    value = found.value()
    if isinstance(value, IntervalSweep):
        return [f"{found.key_or_group}={value.start}"]
    return [f"{found.key_or_group}={item}" for item in found.sweep_string_iterator()]


def _shown(value):
    return value if isinstance(value, str) else " ".join(value)[:60]


def test_the_documentation_shows_commands():
    assert len(_JOBS) > 30
    assert {page for page, _ in COMMANDS} >= {"README.md", "docs/tutorials/quickstart.md"}


@pytest.mark.parametrize(("page", "words"), _JOBS, ids=_shown)
def test_a_documented_run_composes_and_builds(page, words):
    if "--config-dir" in words:
        pytest.skip("run by test_the_own_experiment_file_of_the_guide_composes")
    words = [word for word in words if word not in ("-m", "--cfg", "job")]
    choices = [_alternatives(word) for word in words]
    for job in range(max(map(len, choices), default=1)):
        load_experiment([values[min(job, len(values) - 1)] for values in choices])


@pytest.mark.parametrize(
    ("page", "words"),
    [(page, words) for page, words in COMMANDS if words[0].startswith("ecgexp-")],
    ids=_shown,
)
def test_the_options_of_a_documented_command_exist(page, words):
    name = words[0].removeprefix("ecgexp-")
    importlib.import_module(f"ecgexp.cli.{name}")._parse(words[1:])


def test_scripts_named_in_the_documentation_exist():
    scripts = {words[1] for _, words in COMMANDS if words[0] == "python"}
    assert scripts
    assert [name for name in scripts if not (ROOT / name).is_file()] == []


def test_the_own_experiment_file_of_the_guide_composes(tmp_path):
    page = (ROOT / "docs/howto/configuration.md").read_text(encoding="utf-8")
    text = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1]
    folder = tmp_path / "my_conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "small.yaml").write_text(text, encoding="utf-8")
    words = next(words for _, words in COMMANDS if "--config-dir" in words)
    ran = subprocess.run(
        [sys.executable, "-m", "ecgexp.cli.run", *words[1:], "--cfg", "job"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert yaml.safe_load(ran.stdout)["trainer"]["epochs"] == 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_python_examples_of_a_page_hold(page):
    failed, _ = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert failed == 0


def test_the_links_of_the_readme_lead_to_files():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in _LINK.findall(readme) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert len(readme.splitlines()) <= 120


@pytest.fixture(scope="module")
def reference():
    """`docs/generate_reference.py`, which is no module of the package."""
    spec = importlib.util.spec_from_file_location(
        "generate_reference", ROOT / "docs/generate_reference.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_has_every_option_and_key(reference):
    page = reference.configuration_page()
    for file in (ROOT / "conf").rglob("*.yaml"):
        group, *option = file.relative_to(ROOT / "conf").with_suffix("").parts
        if option and group != "hydra":
            group = group.replace("preprocessing", "preprocessing@dataset")
            assert f"### {group}={'/'.join(option)}\n" in page
    for key in ("`selection.weights`", "`expected_batch_size`", "`noise_multiplier`", "`fs_hz`"):
        assert key in page


def test_the_reference_has_the_table_of_outputs_as_it_is(reference):
    assert publication.markdown().strip() in reference.outputs_page()
