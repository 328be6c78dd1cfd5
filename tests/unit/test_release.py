"""What the check of a release finds, and that no library reports its use."""

import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from locks import CORE, exempt
from release import check_components, check_source, check_wheel

import ecgexp

ROOT = Path(__file__).parents[2]


@pytest.fixture
def source(tmp_path):
    """A copy of the files that name the version; the changelog as that of a release."""
    (tmp_path / "ecgexp").mkdir()
    for name in ("pyproject.toml", "CITATION.cff", "ecgexp/__init__.py", CORE):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(
        f"## [Unreleased]\n\n## [{ecgexp.__version__}] - 2026-01-01\n", encoding="utf-8"
    )
    return tmp_path


def test_source_of_a_release_has_one_version(source):
    assert list(check_source(source)) == []


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("ecgexp/__init__.py", "__version__ =", "__version__ = '9' #"),
        ("CITATION.cff", "\nversion: ", "\nversion: 9"),
        ("CHANGELOG.md", "## [Unreleased]\n", "## [Unreleased]\n\n- An entry.\n"),
        ("CHANGELOG.md", " - 2026-01-01", ""),
    ],
)
def test_source_with_another_version_is_refused(source, name, old, new):
    text = (source / name).read_text(encoding="utf-8")
    assert old in text
    (source / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    assert [problem.partition(":")[0] for problem in check_source(source)] == [name]


def test_wheel_with_wrong_contents_is_refused(source):
    wheel = source / "ecgexp-0.2.0-py3-none-any.whl"
    metadata = "Version: 0.2.0\nRequires-Dist: tensorflow-privacy<0.10\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("ecgexp-0.2.0.dist-info/METADATA", metadata)
        archive.writestr("conf/__init__.py", "")
    found = "\n".join(check_wheel(wheel, source))
    assert "lacks ecgexp/__init__.py" in found
    assert "has conf/__init__.py" in found
    assert "requires tensorflow-privacy<0.10, which pip cannot install" in found
    assert "lacks Keywords" in found


def test_list_of_components_has_every_locked_package(source):
    (problem,) = check_components({"components": []}, source)
    assert problem.startswith("components: ")


def test_core_lock_has_no_package_with_corrected_metadata():
    lock = (ROOT / CORE).read_text(encoding="utf-8")
    assert not [name for name in exempt() if f"\n{name}==" in lock]


def test_importing_the_package_switches_telemetry_off():
    code = f"import os, ecgexp; print([os.environ.get(name) for name in {[*ecgexp.TELEMETRY]}])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "['1', 'true', '0']"


@pytest.mark.parametrize(
    ("library", "file", "name"),
    [
        ("mlflow", "environment_variables.py", "MLFLOW_DISABLE_TELEMETRY"),
        ("mlflow", "telemetry/utils.py", "DO_NOT_TRACK"),
        ("ray", "_common/usage/usage_constants.py", "RAY_USAGE_STATS_ENABLED"),
    ],
)
def test_library_reads_the_variable_that_switches_it_off(library, file, name):
    place = Path(find_spec(library).origin).parent / file
    assert f'"{name}"' in place.read_text(encoding="utf-8")
    assert name in ecgexp.TELEMETRY
