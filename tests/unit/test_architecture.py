"""What may import what.

The order of packages and the fences of libraries, read from the source without running it.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "ecgexp"

# A module imports from its own package and from packages above it in this list, and from nothing
# else.
ORDER = (
    "settings",
    "interruption",
    "seeding",
    "formatting",
    "console",
    "storage",
    "privacy",
    "augmentation",
    "data",
    "features",
    "models",
    "evaluation",
    "inference",
    "clipping",
    "tracking",
    "training",
    "experiment",
    "config",
    "sweeps",
    "analysis",
    "replication",
    "api",
    "cli",
)

# Third-party packages and the only places that may import them.
FENCES = {
    "tensorflow_federated": ("ecgexp.training.federated",),
    "tensorflow_privacy": ("ecgexp.clipping", "ecgexp.training.federated"),
    "dp_accounting": ("ecgexp.privacy.accounting", "ecgexp.privacy.dp_events"),
    "mlflow": ("ecgexp.tracking", "ecgexp.analysis", "ecgexp.cli"),
    "wfdb": ("ecgexp.data",),
    "hydra": ("ecgexp.config", "ecgexp.sweeps", "ecgexp.cli"),
    "omegaconf": ("ecgexp.config", "ecgexp.sweeps", "ecgexp.cli"),
    "optuna": ("ecgexp.sweeps",),
    "ray": ("ecgexp.sweeps",),
    "tensorflow": (
        "ecgexp.models",
        "ecgexp.clipping",
        "ecgexp.training",
        "ecgexp.augmentation",
        "ecgexp.experiment.model_runtime",
        "ecgexp.cli.doctor_checks",
    ),
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache  # a file is parsed once, whatever is asked of it
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> frozenset[str]:
    """All modules that a file imports, also inside functions.

    But for those under `if TYPE_CHECKING:`, which no run executes.
    """
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    tree = parsed(path)
    for_types_only = _for_types_only(tree)
    for node in (node for node in ast.walk(tree) if id(node) not in for_types_only):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; name the module in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in names)


def _for_types_only(tree: ast.Module) -> set[int]:
    guards = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    ]
    return {id(inner) for guard in guards for part in guard.body for inner in ast.walk(part)}


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def place(name: str) -> int:
    """Where a module's package stands in the order; `ecgexp` itself before all."""
    return ORDER.index(name.split(".")[1]) if "." in name else -1


def against_order(name: str, used: Iterable[str]) -> set[str]:
    return {other for other in used if within(other, "ecgexp") and place(other) > place(name)}


def test_every_package_has_a_place_in_the_order():
    assert {name.split(".")[1] for name in MODULES if "." in name} == set(ORDER)


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_only_packages_above_it(name):
    assert not against_order(name, imports(MODULES[name]))


@pytest.mark.parametrize("library", FENCES)
def test_library_is_imported_inside_its_fence_only(library):
    users = {
        name
        for name, path in MODULES.items()
        if any(within(used, library) for used in imports(path))
    }
    assert not {
        name for name in users if not any(within(name, allowed) for allowed in FENCES[library])
    }


def test_no_file_imports_itself_by_way_of_others():
    edges = {
        name: {used for used in imports(path) if used in MODULES} for name, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"cycle: {' -> '.join([*trail, name])}"
        if name not in done:
            for used in edges[name]:
                visit(used, (*trail, name))
            done.add(name)

    for name in edges:
        visit(name, ())


def test_import_against_the_order_is_noticed(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text(
        "def f():\n    from ecgexp.experiment.run import run\n    import mlflow.tracking\n",
        encoding="utf-8",
    )
    assert set(imports(bad)) == {"ecgexp.experiment.run", "mlflow.tracking"}
    assert against_order("ecgexp.data.beats", imports(bad)) == {"ecgexp.experiment.run"}


def test_import_for_types_only_is_left_out(tmp_path):
    source = "if TYPE_CHECKING:\n    import mlflow\nelse:\n    import ecgexp.data.beats\n"
    (tmp_path / "module.py").write_text(source, encoding="utf-8")
    assert set(imports(tmp_path / "module.py")) == {"ecgexp.data.beats"}


# What opens a file as text in the encoding of the locale, unless another one is given.
_OPENERS = ("open", "read_text", "write_text", "FileHandler")


def _without_encoding(tree: ast.Module) -> Iterator[int]:
    """The lines that open a text file without saying how its characters are encoded."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", None) or (
            "open" if getattr(node.func, "id", "") == "open" else ""
        )
        if name not in _OPENERS or getattr(getattr(node.func, "value", None), "id", "") in (
            "os",
            "Sweep",
            "archive",
        ):
            continue
        modes = [
            word.value
            for word in [*node.args, *(one.value for one in node.keywords)]
            if isinstance(word, ast.Constant)
        ]
        is_os = any(
            getattr(word, "attr", "").startswith("O_")
            for one in node.args
            for word in ast.walk(one)
        )
        is_binary = is_os or (
            name == "open" and any(isinstance(mode, str) and "b" in mode for mode in modes)
        )
        if (
            not is_binary
            and "encoding" not in {one.arg for one in node.keywords}
            and "utf-8" not in modes
        ):
            yield node.lineno


def test_files_are_opened_with_an_encoding():
    sources = [*PACKAGE.rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]
    found = {path: list(_without_encoding(parsed(path))) for path in sources}
    assert not {path: lines for path, lines in found.items() if lines}


def test_a_file_opened_in_the_locale_is_noticed():
    assert list(
        _without_encoding(ast.parse("open('a')\nopen('a', 'rb')\npath.write_text('b')"))
    ) == [1, 3]
