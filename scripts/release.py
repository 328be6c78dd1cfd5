"""Build a release and check it: version, changelog, locks, wheel, and a list of all components.

    uv run python scripts/release.py                    # writes dist/
    uv run python scripts/release.py --output /tmp/dist

Writes the sdist, the wheel and `ecgexp-VERSION.cdx.json` (CycloneDX: what a wheel of that version
is tested with). Publishes nothing; CONTRIBUTING.md says how to.
"""

import argparse
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from ecgexp.cli.streams import command

ROOT = Path(__file__).resolve().parents[1]
_TWINE = "twine@7.0.0"
_NEVER = ("tensorflow-federated", "tensorflow-privacy")  # pip cannot meet their pins
_BOM = (
    *("uv", "export", "--quiet", "--preview-features", "sbom-export", "--format", "cyclonedx1.5"),
    "--no-default-groups",
)


def check_source(root: Path = ROOT) -> Iterator[str]:
    """Yields what contradicts the version in pyproject.toml."""
    version = _project(root)["version"]
    init = (root / "ecgexp/__init__.py").read_text(encoding="utf-8")
    if f'\n__version__ = "{version}"\n' not in init:
        yield f"ecgexp/__init__.py: __version__ is not {version}"
    if f"\nversion: {version}\n" not in (root / "CITATION.cff").read_text(encoding="utf-8"):
        yield f"CITATION.cff: version is not {version}"
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    unreleased, _, released = changelog.partition("## [Unreleased]")[2].partition("\n## [")
    if unreleased.strip():
        yield f"CHANGELOG.md: entries under [Unreleased]; move them to [{version}]"
    if not re.match(rf"{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n", released):
        yield f"CHANGELOG.md: the first version is not [{version}] with a date"


def check_wheel(wheel: Path, root: Path = ROOT) -> Iterator[str]:
    """Yields what is missing in a wheel, superfluous, or not as its metadata says."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        about = next(name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(about).decode("utf-8"))
    info = about.partition("/")[0]
    present = {name for name in names if not name.startswith(f"{info}/")}
    for what, wrong in (
        ("lacks", sorted(_expected(root) - present)),
        ("has", sorted(present - _expected(root))),
    ):
        if wrong:
            yield f"{wheel.name}: {what} {', '.join(wrong[:5])}"
    if f"{info}/licenses/LICENSE" not in names:
        yield f"{wheel.name}: lacks its license"
    for field in ("Summary", "License-Expression", "Author", "Keywords", "Project-URL"):
        if not metadata[field]:
            yield f"{wheel.name}: its metadata lacks {field}"
    if (version := metadata["Version"]) != _project(root)["version"]:
        yield f"{wheel.name}: its version is {version}"
    required = [text.lower() for text in metadata.get_all("Requires-Dist", [])]
    for text in required:
        if text.startswith(_NEVER) or " @ " in text:
            yield f"{wheel.name}: requires {text}, which pip cannot install"


def _expected(root: Path) -> set[str]:
    """Files of the package, with conf/ inside, and its plugins of Hydra.

    All plugins of Hydra share the namespace, so that an `__init__.py` in it would hide others.
    """
    folders = (("ecgexp", "ecgexp"), ("conf", "ecgexp/conf"))
    return {"hydra_plugins/ecgexp.py"} | {
        f"{place}/{path.relative_to(root / folder).as_posix()}"
        for folder, place in folders
        for path in (root / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def check_components(bom: dict[str, Any], root: Path = ROOT) -> Iterator[str]:
    """Yields packages of the core lock that a list of components lacks."""
    listed = {f"{each['name']}=={each['version']}" for each in bom["components"]}
    lock = (root / "requirements-core.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([\w.-]+==[^\s;\\]+)", lock, re.MULTILINE))
    if missing := sorted(locked - listed):
        yield f"components: {', '.join(missing[:5])} not listed"


def components(root: Path = ROOT) -> dict[str, Any]:
    """The dependencies of the wheel as uv resolves them, in CycloneDX."""
    done = subprocess.run(_BOM, cwd=root, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def _project(root: Path) -> dict[str, str]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _release(output: Path) -> Iterator[str]:
    yield from check_source()
    if subprocess.run(
        [sys.executable, ROOT / "scripts/locks.py", "--check"], check=False
    ).returncode:
        yield "requirements*.lock: not what uv resolves"
    if any(output.glob("ecgexp-*")):
        yield f"--output {output}: has an earlier release; use another folder"
        return
    subprocess.run(["uv", "build", "--quiet", "--out-dir", output, ROOT], check=True)
    (wheel,) = output.glob("*.whl")
    yield from check_wheel(wheel)
    files = sorted(output.glob("ecgexp-*"))
    if subprocess.run(
        ["uvx", "--quiet", _TWINE, "check", "--strict", *files], check=False
    ).returncode:
        yield f"{output}: twine refuses the files"
    bom = components()
    yield from check_components(bom)
    target = output / f"ecgexp-{_project(ROOT)['version']}.cdx.json"
    target.write_text(json.dumps(bom, indent=1), encoding="utf-8")
    print(*(f"wrote {path}" for path in (*files, target)), sep="\n")


@command
def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="%(default)s")
    problems = list(_release(parser.parse_args().output.resolve()))
    for problem in problems:
        print(f"release: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
