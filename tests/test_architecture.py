"""The house's walls: what may import what (see the README's map), read from the source without running it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ecgexp"

# A module imports only what stands on its own floor or below; the longest matching prefix decides.
FLOORS = {
    "ecgexp": 0,
    "ecgexp._validate": 0,
    "ecgexp._build": 0,
    "ecgexp._archive": 0,
    "ecgexp._reading": 0,
    "ecgexp._hydra_guard": 7,
    "ecgexp.beats": 0,
    "ecgexp.seeding": 0,
    "ecgexp._arguments": 0,
    "ecgexp._files": 0,
    "ecgexp._scratch": 0,
    "ecgexp._redaction": 0,
    "ecgexp._streams": 0,
    "ecgexp._paths": 0,
    "ecgexp.run_folder": 4,
    "ecgexp.data": 1,
    "ecgexp.images": 1,
    "ecgexp.augmentation": 1,
    "ecgexp.partition": 1,
    "ecgexp.checkpoints": 1,
    "ecgexp.console": 1,
    "ecgexp.device": 1,
    "ecgexp.models": 1,
    "ecgexp.descriptors": 2,
    "ecgexp.inputs": 2,
    "ecgexp.clipping": 2,
    "ecgexp.privacy": 2,
    "ecgexp.evaluation": 2,
    "ecgexp.training": 3,
    "ecgexp.selection": 3,
    "ecgexp.serving": 4,
    "ecgexp.tracking": 4,
    "ecgexp.prepare": 4,
    "ecgexp.result": 4,
    "ecgexp.outcome": 5,
    "ecgexp.progress": 4,
    "ecgexp.resuming": 8,
    "ecgexp.ending": 5,
    "ecgexp.flaws": 5,
    "ecgexp.learner": 5,
    "ecgexp.evidence": 5,
    "ecgexp.federation": 5,
    "ecgexp.comparisons": 5,
    "ecgexp.prediction": 5,
    "ecgexp.sweeping": 5,
    "ecgexp.two_runs": 5,
    "ecgexp.report": 5,
    "ecgexp.results": 8,
    "ecgexp.experiment": 6,
    "ecgexp.config": 7,
    "ecgexp.multirun": 8,
    "ecgexp.compare": 8,
    "ecgexp.ui": 8,
    "ecgexp.sync": 8,
    "ecgexp.doctor": 8,
    "ecgexp.planning": 8,
    "ecgexp.predict": 8,
    "ecgexp.doctor_checks": 8,
    "ecgexp.parity": 8,
    "ecgexp.cli": 8,
}

# Packages of one floor that must not know each other.
STRANGERS = [
    ("ecgexp.clipping", "ecgexp.privacy"),
    ("ecgexp.privacy", "ecgexp.evaluation"),
    ("ecgexp.evaluation", "ecgexp.clipping"),
    ("ecgexp.data", "ecgexp.images"),
    ("ecgexp.data", "ecgexp.models"),
    ("ecgexp.images", "ecgexp.models"),
]

# Third-party packages and the only places that may import them; the rest of the house does not know them.
FENCES = {
    "tensorflow_federated": ("ecgexp.training.federated",),
    "tensorflow_privacy": ("ecgexp.clipping", "ecgexp.training.federated"),
    "dp_accounting": ("ecgexp.privacy.accounting",),
    "mlflow": ("ecgexp.tracking", "ecgexp.ui", "ecgexp.doctor", "ecgexp.doctor_checks"),
    "wfdb": ("ecgexp.data",),
    "hydra": ("ecgexp.config", "ecgexp.cli", "ecgexp.multirun", "ecgexp._hydra_guard"),
    "omegaconf": ("ecgexp.config", "ecgexp.cli", "ecgexp.multirun", "ecgexp._hydra_guard"),
    "tensorflow": (
        "ecgexp.models", "ecgexp.clipping", "ecgexp.training", "ecgexp.augmentation", "ecgexp.device", "ecgexp.serving",
        "ecgexp.learner", "ecgexp.doctor_checks",
    ),
}  # fmt: skip


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else [node for node in ast.walk(tree) if id(node) not in _for_types_only(tree)]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; name the module in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in names)


def _for_types_only(tree: ast.Module) -> set[int]:
    """Nodes under `if TYPE_CHECKING:`, which no run executes."""
    guards = [
        node for node in tree.body if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    ]
    return {id(inner) for guard in guards for inner in ast.walk(guard)}


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def floor(name: str) -> int:
    known = [prefix for prefix in FLOORS if within(name, prefix)]
    best = max(known, key=len)
    assert best != "ecgexp" or name == "ecgexp", f"{name} stands on no floor: add it to FLOORS"
    return FLOORS[best]


@pytest.mark.parametrize("name", MODULES)
def test_nothing_imports_upward(name):
    upward = {used for used in imports(MODULES[name]) if within(used, "ecgexp") and floor(used) > floor(name)}
    assert not upward, f"{name} (floor {floor(name)}) imports {upward}"


@pytest.mark.parametrize(("one", "other"), STRANGERS)
def test_rooms_of_one_floor_do_not_know_each_other(one, other):
    pairs = {(name, used) for name, path in MODULES.items() for used in imports(path)}
    crossing = [
        pair
        for pair in pairs
        if (within(pair[0], one) and within(pair[1], other)) or (within(pair[0], other) and within(pair[1], one))
    ]
    assert not crossing


@pytest.mark.parametrize("library", FENCES)
def test_third_party_libraries_stay_behind_their_fence(library):
    users = {name for name, path in MODULES.items() if any(within(used, library) for used in imports(path))}
    strays = {name for name in users if not any(within(name, allowed) for allowed in FENCES[library])}
    assert not strays, f"{library} is imported by {strays}"


def test_no_import_cycles():
    edges = {
        name: {used for used in imports(path, top_level_only=True) if used in MODULES} for name, path in MODULES.items()
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


def test_a_broken_wall_would_be_noticed(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from ecgexp.experiment import run\n    import mlflow.tracking\n")
    assert set(imports(bad)) == {"ecgexp.experiment", "mlflow.tracking"}
    assert floor("ecgexp.experiment") > floor("ecgexp.data.catalog")


# What opens a file as text in the encoding of the locale, unless it is told another one.
_OPENERS = ("open", "read_text", "write_text", "FileHandler")


def _without_encoding(tree: ast.Module) -> Iterator[int]:
    """The lines that open a text file without saying how its characters are encoded."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", None) or ("open" if getattr(node.func, "id", "") == "open" else "")
        if name not in _OPENERS or getattr(getattr(node.func, "value", None), "id", "") in ("os", "Sweep", "archive"):
            continue
        modes = [
            word.value for word in [*node.args, *(one.value for one in node.keywords)] if isinstance(word, ast.Constant)
        ]
        is_os = any(getattr(word, "attr", "").startswith("O_") for one in node.args for word in ast.walk(one))
        is_binary = is_os or (name == "open" and any(isinstance(mode, str) and "b" in mode for mode in modes))
        if not is_binary and "encoding" not in {one.arg for one in node.keywords} and "utf-8" not in modes:
            yield node.lineno


def test_files_are_opened_with_an_encoding():
    sources = [*PACKAGE.rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]
    found = {path: list(_without_encoding(ast.parse(path.read_text(encoding="utf-8")))) for path in sources}
    assert not {path: lines for path, lines in found.items() if lines}


def test_a_file_opened_in_the_locale_is_noticed():
    assert list(_without_encoding(ast.parse("open('a')\nopen('a', 'rb')\npath.write_text('b')"))) == [1, 3]
