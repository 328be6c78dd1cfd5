"""The registry of settings classes: a `_target_` to its class, and a class to its `_target_`.

A `_target_` is a public name, `ecgexp.PACKAGE.NAME`, e.g. `ecgexp.training.Federated`. Packages
list their public names in `__init__.py` (`lazy_exports`); the registry holds no list of its own.
YAML files, saved models and the parameters of runs contain public names only, so a module can be
moved without a change of these files.

**Guarantees**: `settings_class` returns a settings class that a package exports, and imports
nothing else, whatever text it is given. Each settings class has one public name, and
`settings_class(public_name(cls)) is cls` (`tests/unit/settings/test_public_names.py`).
"""

import ast
import difflib
import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

from pydantic.dataclasses import is_pydantic_dataclass

import ecgexp
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.lazy_exports import public_imports, source_tree


def settings_class(target: Any, path: str = "", kind: type | None = None) -> type:
    """Return the settings class with the public name `target`.

    Args:
      target: value of `_target_`, e.g. `"ecgexp.models.Cnn1d"`.
      path: position of the node in the configuration, for error messages, e.g. `"model"`.
      kind: class or protocol that the setting at `path` takes; None for any class.

    Returns:
      The class.

    Raises:
      ConfigError: it is not the public name of a settings class, or the class is of another kind;
        the message states names that can be used.

    Example:
      >>> settings_class("ecgexp.models.Cnn1d").__name__
      'Cnn1d'
    """
    found, key = _find(target), f"{path}._target_" if path else "_target_"
    if found is None:
        near = _nearest(str(target))
        use = f"{key}={near}" if near else "a public name such as ecgexp.models.Cnn1d"
        shown = "null" if target is None else target
        raise ConfigError(f"{key}={shown}: not the public name of a settings class; use {use}.")
    if kind is not None and not _fits(found, kind):
        raise ConfigError(
            f"{key}={target}: not of the kind {kind.__name__}; use {' or '.join(names_of(kind))}."
        )
    return found


def names_of(kind: type) -> list[str]:
    """Return the public names of the settings classes of a kind that its package exports.

    Args:
      kind: a settings class or a protocol, e.g. `ModelBuilder`.

    Returns:
      The names, e.g. `["ecgexp.training.CrossEntropy"]` for `Loss`.

    Example:
      >>> names_of(settings_class("ecgexp.training.Device"))
      ['ecgexp.training.Device']
    """
    package = ".".join(kind.__module__.split(".")[:2])
    names = (f"{package}.{name}" for name in _packages()[package])
    return [name for name in names if (cls := _find(name)) is not None and _fits(cls, kind)]


def is_protocol(kind: type) -> bool:
    """Return whether a kind is a protocol, so that a class need not inherit from it."""
    return Protocol in kind.__bases__


def public_name(cls: type) -> str:
    """Return the `_target_` that names a settings class.

    Raises:
      ConfigError: its package does not export the class.
    """
    target = ".".join([*cls.__module__.split(".")[:2], cls.__qualname__])
    if _find(target) is not cls:
        raise ConfigError(
            f"{cls.__module__}.{cls.__qualname__}: no package of ecgexp exports this "
            "class, so that "
            "no file could refer to it; use a settings class with a public name."
        )
    return target


def is_public_name(target: Any) -> bool:
    """Return whether `target` is the public name of a settings class."""
    return _find(target) is not None


def _fits(cls: type, kind: type) -> bool:
    """Return whether a settings class is of a kind; for a protocol, whether it has its members."""
    if not is_protocol(kind):
        return issubclass(cls, kind)
    members = {
        name for name in (*vars(kind), *vars(kind).get("__annotations__", {})) if name[0] != "_"
    }
    return members <= {*dir(cls), *getattr(cls, "__dataclass_fields__", {})}


@cache
def _packages() -> Mapping[str, Mapping[str, str]]:
    """Return package -> public name -> module, for all packages that a `_target_` may name."""
    modules = pkgutil.iter_modules(ecgexp.__path__, f"{ecgexp.__name__}.")
    return {module.name: public_imports(module.name) for module in modules if module.ispkg}


def _find(target: Any) -> type | None:
    package, _, name = str(target).rpartition(".")
    module = _packages().get(package, {}).get(name)
    if not isinstance(target, str) or module is None or not _declares_settings(module, name):
        return None
    found = getattr(importlib.import_module(module), name)
    return found if isinstance(found, type) and is_pydantic_dataclass(found) else None


@cache
def _declares_settings(module: str, name: str) -> bool:
    """Return whether the source has the class with the decorator `@settings`.

    The modules of other public names are not imported: some of them load TensorFlow.
    """
    return any(
        isinstance(node, ast.ClassDef)
        and node.name == name
        and any(
            isinstance(mark, ast.Name) and mark.id == "settings" for mark in node.decorator_list
        )
        for node in source_tree(module).body
    )


def _nearest(target: str) -> str | None:
    """Return a settings class of a similar name, in the same package if there is one."""
    parts = target.split(".")
    if parts[0] != ecgexp.__name__:
        return None
    own = ".".join(parts[:2])
    for packages in ([own] if own in _packages() else []), sorted(_packages()):
        known = {name: f"{package}.{name}" for package in packages for name in _packages()[package]}
        for name in difflib.get_close_matches(parts[-1], known, n=3):
            if is_public_name(known[name]):
                return known[name]
    return None
