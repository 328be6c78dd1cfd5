"""The registry of settings classes: a `_target_` to its class, and a class to its `_target_`.

A `_target_` is a public name: `ecgexp.PACKAGE.NAME`, e.g. `ecgexp.training.Federated`, or
`PLUGIN.NAME` of an installed plug-in (`plugins`). Packages list their public names in `__init__.py`
(`lazy_exports`); the registry holds no list of its own. YAML files, saved models and the parameters
of runs contain public names only, so a module can be moved without a change of these files.

**Guarantees**: `settings_class` returns a settings class that a package of ecgexp or a plug-in
exports and defines itself, and imports nothing else, whatever text it is given. Each settings class
has one public name, and `settings_class(public_name(cls)) is cls`
(`tests/unit/settings/test_public_names.py`, `tests/unit/settings/test_plugins.py`).
"""

import difflib
import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

from pydantic.dataclasses import is_pydantic_dataclass

import ecgexp
from ecgexp.settings import plugins
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.installation import to_type
from ecgexp.settings.lazy_exports import declares_settings, public_imports, source_file


def settings_class(target: Any, path: str = "", kind: type | None = None) -> type:
    """Return the settings class with the public name `target`.

    Args:
      target: value of `_target_`, e.g. `"ecgexp.models.Cnn1d"`.
      path: position of the node in the configuration, for error messages, e.g. `"model"`.
      kind: class or protocol that the setting at `path` takes; None for any class.

    Returns:
      The class.

    Raises:
      ConfigError: it is not the public name of a settings class, its plug-in cannot be imported, or
        the class is of another kind; the message states what can be used.

    Example:
      >>> settings_class("ecgexp.models.Cnn1d").__name__
      'Cnn1d'
    """
    key = f"{path}._target_" if path else "_target_"
    module = _module_of(target)
    found = None if module is None else _imported(module, target, key)
    if found is None:
        shown = "null" if target is None else target
        raise ConfigError(f"{key}={shown}: {_why_unknown(target)}; use {_use(target, key)}.")
    if kind is not None and not (_fits(found, kind) and _may_be_own(found, kind)):
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
    names = (f"{package}.{name}" for name in _packages().get(package, {}))
    return [name for name in names if is_public_name(name) and _fits(settings_class(name), kind)]


def is_protocol(kind: type) -> bool:
    """Return whether a kind is a protocol, so that a class need not inherit from it."""
    return Protocol in kind.__bases__


def public_name(cls: type) -> str:
    """Return the `_target_` that names a settings class.

    Raises:
      ConfigError: its package does not export the class.
    """
    parts = cls.__module__.split(".")
    own = parts[:2] if parts[0] == ecgexp.__name__ else parts[:1]
    target = ".".join([*own, cls.__qualname__])
    if not is_public_name(target) or settings_class(target) is not cls:
        raise ConfigError(
            f"{cls.__module__}.{cls.__qualname__}: no package of ecgexp and no plug-in exports "
            "this class, so that no file could refer to it; use a settings class with a public "
            f"name, for example in a plug-in ({to_type('ecgexp-new plugin NAME')})."
        )
    return target


def is_public_name(target: Any) -> bool:
    """Return whether `target` is the public name of a settings class; nothing is imported."""
    return _module_of(target) is not None


def is_former_name(target: Any) -> bool:
    """Return whether `target` names a class of ecgexp that this version does not have."""
    return str(target).startswith(f"{ecgexp.__name__}.") and not is_public_name(target)


def _may_be_own(cls: type, kind: type) -> bool:
    """Return whether a class may stand for a kind of ecgexp: a plug-in's only for a protocol."""
    own = ecgexp.__name__
    return (
        is_protocol(kind)
        or kind.__module__.partition(".")[0] != own
        or cls.__module__.partition(".")[0] == own
    )


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


def _module_of(target: Any) -> str | None:
    """Return the module that defines the settings class `target`; None: it is no public name."""
    if not isinstance(target, str):
        return None
    package, _, name = target.rpartition(".")
    module = _packages().get(package, {}).get(name)
    if module is not None:
        return module if _declares_settings(module, name) else None
    return _names_of_plugin(package).get(name)


def _names_of_plugin(package: str) -> Mapping[str, str]:
    plugin = plugins.installed().get(package) if package.isidentifier() else None
    try:
        return {} if plugin is None else plugin.modules
    except (SyntaxError, OSError, ValueError):  # its source cannot be read
        return {}


def _imported(module: str, target: str, key: str) -> type | None:
    """Return the class of a public name; None if its module has replaced it by something else."""
    name, top = target.rpartition(".")[2], module.partition(".")[0]
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:
        if top == ecgexp.__name__:
            raise
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(
            f"{key}={target}: the plug-in {plugins.installed()[top].label} cannot be imported: "
            f"{why}; fix the plug-in, or use a class of another package."
        ) from error
    is_own = isinstance(found, type) and found.__module__.partition(".")[0] == top
    return found if is_own and found.__qualname__ == name and is_pydantic_dataclass(found) else None


@cache
def _declares_settings(module: str, name: str) -> bool:
    """Return whether the source has the class with the decorator `@settings`.

    The modules of other public names are not imported: some of them load TensorFlow.
    """
    return declares_settings(source_file(module), name)


def _why_unknown(target: Any) -> str:
    package = str(target).partition(".")[0]
    for one in plugins.refused():
        if one.name == package:
            return f"the plug-in {package} cannot be used: {one.why}"
    return "not the public name of a settings class"


def _use(target: Any, key: str) -> str:
    """Return what to use instead of an unknown name, as a part of a message."""
    near = _nearest(str(target))
    if near:
        return f"{key}={near}"
    package, _, name = str(target).rpartition(".")
    if package == "__main__":
        return (
            "a class of a plug-in, which can be loaded again in another process "
            f"({to_type('ecgexp-new plugin NAME')} writes one)"
        )
    if package.isidentifier() and name.isidentifier() and package != ecgexp.__name__:
        return (
            f"a public name such as ecgexp.models.Cnn1d, or install the plug-in {package} "
            f"({to_type('ecgexp-doctor')} lists those installed)"
        )
    return "a public name such as ecgexp.models.Cnn1d"


def _nearest(target: str) -> str | None:
    """Return a settings class of a similar name, in the same package if there is one."""
    parts = target.split(".")
    if parts[0] != ecgexp.__name__:
        own = {name: f"{parts[0]}.{name}" for name in _names_of_plugin(parts[0])}
        near = difflib.get_close_matches(parts[-1], own, n=1)
        return own[near[0]] if near else min(own.values(), default=None)
    own = ".".join(parts[:2])
    for packages in ([own] if own in _packages() else []), sorted(_packages()):
        known = {name: f"{package}.{name}" for package in packages for name in _packages()[package]}
        for name in difflib.get_close_matches(parts[-1], known, n=3):
            if is_public_name(known[name]):
                return known[name]
    return None
