"""Convert nested plain values to objects and back; `_target_` names the class of a node.

Hydra's `instantiate` calls any importable object, and its documentation says that its block list is
not a complete security boundary. This module builds settings classes of the registry only.

**Guarantees**: a YAML file, a command-line override or a saved model cannot make a run call
anything except a settings class with a public name (`ecgexp.settings.registry`).
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecgexp.settings.declaration import build
from ecgexp.settings.registry import public_name, settings_class


def build_node(node: Any, path: str = "") -> Any:
    """Build `node` and its children, innermost first.

    Args:
      node: Nested dicts, lists and scalars; a dict with a `_target_` becomes an object of that
        class.
      path: Position of the node in the configuration, for error messages, e.g. `"trainer"`.

    Returns:
      The object, or the dict, list or scalar if there is no `_target_`.

    Raises:
      ConfigError: A `_target_` is not a public name, a key is unknown, or a value is invalid.
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
    """Return nested plain values, JSON-compatible, from which `build_node` rebuilds `value`.

    Raises:
      ConfigError: A settings class without a public name.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: to_node(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
        return {"_target_": public_name(type(value)), **fields}
    if isinstance(value, Mapping):
        return {str(key): to_node(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_node(item) for item in value]
    return str(value) if isinstance(value, Path) else value
