"""From plain nested values to objects and back: the `_target_` of a node names the class that it becomes.

Hydra's own `instantiate` calls anything that can be imported, and its block-list is, in its authors' words, not a complete
security boundary. Here only settings classes of this package can be named, so neither a YAML file, nor the shell, nor a
saved model can make a run execute anything else.
"""

import dataclasses
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecgexp.settings.declaration import ConfigError, build

_PACKAGE = "ecgexp."


def build_node(node: Any, path: str = "") -> Any:
    """Builds `node` and everything in it, innermost first.

    Args:
      node: nested dicts, lists and scalars; a dict with a `_target_` becomes an object of that class.
      path: where the node stands, for error messages, e.g. `"trainer"`.

    Raises:
      ConfigError: a `_target_` outside this package or unknown, a misspelt key, a value that is refused.
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
    """The nested plain values from which `build_node` makes `value` again; JSON can hold them."""
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
    """The settings class of this package that `target` names.

    Args:
      target: its dotted name, as a `_target_` has it.
      path: of the node that names it, for error messages.

    Raises:
      ConfigError: it is outside this package, unknown, or no settings class.
    """
    where = f"{path}._target_={target}" if path else f"_target_={target}"
    if not isinstance(target, str) or not target.startswith(_PACKAGE):
        raise ConfigError(
            f"{where} is refused: only settings classes of this package, whose names begin with {_PACKAGE}, can be built"
        )
    module_name, _, class_name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{where} does not exist: {error}") from error
    # The module must be the class's own: `ecgexp.x.os.system` would otherwise pass through an import of ours.
    if not (
        isinstance(found, type)
        and dataclasses.is_dataclass(found)
        and found.__module__ == module_name
    ):
        raise ConfigError(f"{where} is refused: it is not a settings class")
    return found
