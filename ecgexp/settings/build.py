"""Convert nested plain values to objects and back; `_target_` names the class of a node.

Hydra's `instantiate` calls any importable object, and its documentation says that its block list is
not a complete security boundary. This module builds settings classes of the registry only.

**Guarantees**: a YAML file, a command-line override or a saved model cannot make a run call
anything except a settings class with a public name (`ecgexp.settings.registry`), of the kind that
the setting takes (`tests/unit/settings/test_kinds.py`).
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from ecgexp.settings.declaration import ConfigError, build
from ecgexp.settings.registry import is_protocol, names_of, public_name, settings_class


def build_node(node: Any, path: str = "", wanted: Any = None) -> Any:
    """Build `node` and its children, innermost first.

    Args:
      node: Nested dicts, lists and scalars; a dict with a `_target_` becomes an object of that
        class.
      path: Position of the node in the configuration, for error messages, e.g. `"trainer"`.
      wanted: Type of the setting at `path`; those of the children follow from the class. None: any.

    Returns:
      The object, or the dict, list or scalar if there is no `_target_`.

    Raises:
      ConfigError: A `_target_` is missing where an object is needed, is not a public name or names
        a class of another kind; a key is unknown; or a value is invalid.

    Example:
      >>> build_node({"_target_": "ecgexp.models.Mlp", "units": [16]}).units
      (16,)
    """
    kind, has_target = _kind(wanted), isinstance(node, Mapping) and "_target_" in node
    if kind is not None and is_protocol(kind) and not has_target:
        names = " or ".join(names_of(kind))
        raise ConfigError(f"{path}._target_ is missing; use {path}._target_={names}.")
    if isinstance(node, list | tuple):
        return [build_node(item, f"{path}[{i}]", _items(wanted)) for i, item in enumerate(node)]
    if not isinstance(node, Mapping):
        return node
    cls = settings_class(node["_target_"], path, kind) if has_target else None
    types = {name: field.annotation for name, field in _fields(cls).items()}
    children = {
        key: build_node(value, f"{path}.{key}" if path else str(key), types.get(key))
        for key, value in node.items()
        if key != "_target_"
    }
    return children if cls is None else build(cls, children, path=path)


def _fields(cls: Any) -> Mapping[str, FieldInfo]:
    return getattr(cls, "__pydantic_fields__", {})


def _kind(annotation: Any) -> type | None:
    """Return the settings class or protocol of an annotation; None for other types."""
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for each in get_args(annotation) if (kind := _kind(each)) is not None]
        return kinds[0] if len(kinds) == 1 else None
    is_kind = isinstance(annotation, type) and (is_protocol(annotation) or _fields(annotation))
    return annotation if is_kind else None


def _items(annotation: Any) -> Any:
    """Return the type of the items of `tuple[T, ...]`; None for other types."""
    return get_args(annotation)[0] if get_origin(annotation) is tuple else None


def to_node(value: Any) -> Any:
    """Return nested plain values, JSON-compatible, from which `build_node` rebuilds `value`.

    Raises:
      ConfigError: A settings class without a public name.

    Example:
      >>> to_node(build_node({"_target_": "ecgexp.training.Device", "kind": "cpu"}))["kind"]
      'cpu'
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
