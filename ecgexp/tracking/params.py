"""A run's settings in the form that trackers store: one dotted name per leaf, without secrets."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ecgexp.settings.redaction import redacted
from ecgexp.tracking.base import Scalar
from ecgexp.tracking.checks import check_name

_WITHOUT_EFFECT = re.compile(
    r"(resume|name|tracking|sweep|data|checkpoints|figures|hydra|console|max_minutes)([./@].*)?"
    r"|dataset\.(.*\.)?(root|cache_dir|demographics)"
)
"""Settings that do not affect a result.

Locations of runs and data, how a run was started, how often it is saved, the format of its figures,
whether patients are counted by sex and age.
"""


def flatten(config: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return one entry per leaf; a list is one leaf, as JSON.

    Example:
      >>> flatten({"trainer": {"epochs": 3}})
      {'trainer.epochs': 3}
    """
    return dict(_leaves(config, ""))


def unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nested mapping of dotted names, the inverse of `flatten`; values stay as they are.

    Example:
      >>> unflatten({"trainer.epochs": 3})
      {'trainer': {'epochs': 3}}
    """
    found: dict[str, Any] = {}
    for name, value in leaves.items():
        *parents, last = name.split(".")
        node = found
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return found


def has_effect(name: str) -> bool:
    """Return whether a result can depend on the setting of that dotted name.

    This is the only list of such settings. Settings without effect are not parameters of a run, do
    not identify a job or a sweep, and may differ when a run is resumed or a sweep is started again.

    Args:
      name: dotted name of a setting, or the name of a group chosen by `group=option`.
    """
    return not _WITHOUT_EFFECT.fullmatch(name)


def parameters(config: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return the leaves of a configuration that can affect a result.

    See `flatten` and `has_effect`.
    """
    return {name: value for name, value in flatten(config).items() if has_effect(name)}


def loggable(params: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return `params` without secrets.

    Raises:
      ValueError: an invalid name.
    """
    return redacted({check_name(name, kind="parameter"): value for name, value in params.items()})


def taggable(tags: Mapping[str, object]) -> dict[str, str]:
    """Return `tags` as text without secrets.

    Raises:
      ValueError: an invalid name.
    """
    return redacted({check_name(name, kind="tag"): str(value) for name, value in tags.items()})


def shorten(text: str, *, limit: int) -> str:
    """Return `text` if it has at most `limit` characters; else its beginning and its SHA-256."""
    if len(text) <= limit:
        return text
    mark = f"… [{len(text)} characters, sha256 {hashlib.sha256(text.encode()).hexdigest()}]"
    return text[: limit - len(mark)] + mark


def _leaves(config: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Scalar]]:
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{name}.")
        elif isinstance(value, str | int | float | bool) or value is None:
            yield name, value
        else:
            yield name, json.dumps(redacted(value), default=str)
