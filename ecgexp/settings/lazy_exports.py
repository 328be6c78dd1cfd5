"""Public names of a package that are imported when they are first used (PEP 562).

The `__init__.py` of a package lists its public names once, as imports for the type checker:

    if TYPE_CHECKING:
        from ecgexp.models.cnn1d import Cnn1d as Cnn1d
    else:
        __all__, __getattr__, __dir__ = export_lazily(__name__)

Editors and type checkers read the imports, and `export_lazily` reads the same lines at run time. So
a file can be moved by changing one line, and importing a package loads none of its modules.
"""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Exports = tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]


def export_lazily(package: str) -> Exports:
    """Return `__all__`, `__getattr__` and `__dir__` of a package.

    Args:
      package: `__name__` of the package, whose `__init__.py` has the imports described above.

    Returns:
      The sorted public names; a function that imports one of them and keeps it in the package; a
      function that lists the attributes of the package.
    """
    modules = public_imports(package)

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(modules[name]), name)
        setattr(sys.modules[package], name, value)  # the next access does not come here
        return value

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return sorted(modules), load, list_names


def public_imports(package: str) -> dict[str, str]:
    """Return public name -> module, from the lines `from module import name as name`."""
    return {
        alias.name: node.module or ""
        for node in ast.walk(source_tree(package))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }


def imported_names(file: Path, package: str) -> dict[str, str]:
    """Return name -> module for what the `__init__.py` of a package defines or imports itself.

    Args:
      file: the `__init__.py`, which is not imported.
      package: name of the package, to which relative imports refer.
    """
    tree = parse_file(file)
    found = {node.name: package for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level <= 1:
            parts = [*([package] if node.level else []), *([node.module] if node.module else [])]
            found |= {
                alias.name: ".".join(parts)
                for alias in node.names
                if alias.asname in (None, alias.name)
            }
    return found


def declares_settings(file: Path, name: str) -> bool:
    """Return whether a source file has the class `name` with the decorator `@settings`."""
    return file.is_file() and any(
        isinstance(node, ast.ClassDef)
        and node.name == name
        and any(
            getattr(mark, "id", getattr(mark, "attr", "")) == "settings"
            for mark in node.decorator_list
        )
        for node in parse_file(file).body
    )


def source_tree(module: str) -> ast.Module:
    """Return the parsed source of a module, which is not imported."""
    return parse_file(source_file(module))


def source_file(module: str) -> Path:
    """Return the file of a module, which is not imported."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    return Path(spec.origin)


def parse_file(file: Path) -> ast.Module:
    """Return the parsed source of a file."""
    return ast.parse(file.read_text(encoding="utf-8"), str(file))
