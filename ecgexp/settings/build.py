"""Convert nested plain values to objects and back; `_target_` names the class of a node.

Hydra's `instantiate` calls any importable object, and its documentation says that its block list is
not a complete security boundary. This module builds settings classes of this package only.

**Guarantees**: a YAML file, a command-line override or a saved model cannot make a run call
anything except a settings class of this package.
"""

import dataclasses
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecgexp.settings.declaration import ConfigError, build

_PACKAGE = "ecgexp."


def build_node(node: Any, path: str = "") -> Any:
    """Build `node` and its children, innermost first.

    Args:
      node: Nested dicts, lists and scalars; a dict with a `_target_` becomes an object of that
        class.
      path: Position of the node in the configuration, for error messages, e.g. `"trainer"`.

    Returns:
      The object, or the dict, list or scalar if there is no `_target_`.

    Raises:
      ConfigError: A `_target_` is unknown or outside this package, a key is unknown, or a value is
        invalid.
    """
    if isinstance(node, list | tuple):
        return [build_node(item, f"{path}[{i}]") for i, item in enumerate(node)]
    if not isinstance(node, Mapping):
        return node
    children = {
        key: build_node(value, f"{path}.{key}" if path else str(key))
        for key, value in node.items()
        if key != "_target_"
    }
    return (
        build(settings_class(node["_target_"], path), children, path=path)
        if "_target_" in node
        else children
    )


def to_node(value: Any) -> Any:
    """Return nested plain values, JSON-compatible, from which `build_node` rebuilds `value`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: to_node(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
        return {"_target_": f"{type(value).__module__}.{type(value).__qualname__}", **fields}
    if isinstance(value, Mapping):
        return {str(key): to_node(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_node(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def settings_class(target: Any, path: str = "") -> Any:
    """Return the settings class of this package that `target` names.

    Args:
      target: Dotted name of the class, the value of `_target_`.
      path: Position of the node in the configuration, for error messages.

    Returns:
      The class.

    Raises:
      ConfigError: The name is unknown, outside this package, or not a settings class.
    """
    where = f"{path}._target_={target}" if path else f"_target_={target}"
    if not isinstance(target, str) or not target.startswith(_PACKAGE):
        raise ConfigError(
            f"{where} is refused: only settings classes of this package can be built; "
            f"use a name that begins with {_PACKAGE}"
        )
    module_name, _, class_name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{where} does not exist: {error}") from error
    # The class must be defined in that module: otherwise `ecgexp.x.os.system` would be accepted
    # through an import in `ecgexp.x`.
    if not (
        isinstance(found, type)
        and dataclasses.is_dataclass(found)
        and found.__module__ == module_name
    ):
        raise ConfigError(
            f"{where} is refused: it is not a settings class; use the name of a settings class"
        )
    return found
