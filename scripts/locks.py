"""Write the locked requirements for pip from uv's resolution, or compare them with it.

    uv run python scripts/locks.py            # write all files
    uv run python scripts/locks.py --check    # write nothing; compare files

`requirements-core.lock` has the dependencies of the wheel, `requirements.lock` those of a checkout,
and `ecgexp/training/federated/requirements.txt` what federated training needs beyond the first.
"""

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

from ecgexp.cli.streams import command

ROOT = Path(__file__).resolve().parents[1]
CORE, WHOLE = "requirements-core.lock", "requirements.lock"
FEDERATED = "ecgexp/training/federated/requirements.txt"
_EXPORT = ("uv", "export", "--quiet", "--no-emit-project", "--no-header", "--no-annotate")
_CORE_HEADER = """\
# The dependencies of the wheel, on Linux, macOS (arm64) and Windows. Written by scripts/locks.py.
#   pip install --require-hashes -r requirements-core.lock && pip install --no-deps ecgexp
"""
_WHOLE_HEADER = """\
# Everything that a checkout uses: all groups, no CUDA libraries. Written by scripts/locks.py.
#   pip install --require-hashes --no-deps -r requirements.lock && pip install --no-deps -e .
# --no-deps and an exempted `pip check`, because published pins of these packages cannot be met
# (pyproject.toml, tool.uv.dependency-metadata): {exempt}.
"""
_FEDERATED_HEADER = """\
# What federated training needs beyond the dependencies of ecgexp. Written by scripts/locks.py.
#   pip install --no-deps -r "$(ecgexp-doctor --federated-requirements)"
"""


def files() -> dict[str, str]:
    """File -> its content according to uv's resolution."""
    core = _exported("--no-default-groups")
    federated = _exported("--no-default-groups", "--group", "federated")
    beyond = {line: entry for line, entry in federated.items() if line not in core}
    return {
        CORE: _CORE_HEADER + _joined(core),
        WHOLE: _WHOLE_HEADER.format(exempt=", ".join(exempt()))
        + _joined(_exported("--all-groups")),
        FEDERATED: _FEDERATED_HEADER + _joined(beyond),
    }


def exempt() -> list[str]:
    """Packages whose published metadata pyproject.toml corrects."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return sorted(entry["name"] for entry in project["tool"]["uv"]["dependency-metadata"])


def _exported(*options: str) -> dict[str, str]:
    """First line of each requirement -> the requirement with its hashes."""
    done = subprocess.run(
        [*_EXPORT, *options], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    entries: dict[str, str] = {}
    first = ""
    for line in done.stdout.splitlines(keepends=True):
        first = first if line.startswith(" ") else line
        entries[first] = entries.get(first, "") + line
    return entries


def _joined(entries: dict[str, str]) -> str:
    return "".join(entries.values())


@command
def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; compare files")
    check = parser.parse_args().check
    stale = [
        name
        for name, text in files().items()
        if not (ROOT / name).is_file() or (ROOT / name).read_text(encoding="utf-8") != text
    ]
    if check and stale:
        print(f"{', '.join(stale)}: not what uv resolves; use `uv run python scripts/locks.py`")
        return 1
    if stale:
        for name, text in files().items():
            (ROOT / name).write_text(text, encoding="utf-8")
        print(f"wrote {', '.join(stale)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
