"""A run's settings as they may be kept: one dotted name per leaf, and nothing secret among the values."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ecgexp.settings.redaction import redacted
from ecgexp.tracking.base import Scalar
from ecgexp.tracking.checks import check_name

_WITHOUT_EFFECT = re.compile(
    r"(resume|name|tracking|sweep|data|checkpoints|hydra)([./@].*)?|dataset\.(.*\.)?(root|cache_dir)"
)
"""The settings on which no result depends: where a run and its data are kept, how it was started, how often it is saved."""


def flatten(config: Mapping[str, Any]) -> dict[str, Scalar]:
    """One entry per leaf: `{"trainer": {"epochs": 3}}` becomes `{"trainer.epochs": 3}`; a list is one leaf, as JSON."""
    return dict(_leaves(config, ""))


def has_effect(name: str) -> bool:
    """Whether a run's result can depend on the setting of that dotted name; a group chosen by `group=option` counts as a name.

    This is the one list. Settings without effect are no parameters of a run, no part of what makes a job or a sweep, and may
    differ when a run is resumed or a sweep is started again: where they were kept as if they decided something, the second
    start of a sweep under a budget was refused.
    """
    return not _WITHOUT_EFFECT.fullmatch(name)


def parameters(config: Mapping[str, Any]) -> dict[str, Scalar]:
    """The leaves of a configuration that have an effect; see `flatten` and `has_effect`."""
    return {name: value for name, value in flatten(config).items() if has_effect(name)}


def loggable(params: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """`params` without secrets.

    Raises:
      ValueError: a name that cannot be kept.
    """
    return redacted({check_name(name, kind="parameter"): value for name, value in params.items()})


def taggable(tags: Mapping[str, object]) -> dict[str, str]:
    """`tags` as texts without secrets.

    Raises:
      ValueError: a name that cannot be kept.
    """
    return redacted({check_name(name, kind="tag"): str(value) for name, value in tags.items()})


def shorten(text: str, *, limit: int) -> str:
    """`text` if it has at most `limit` characters; else its beginning and, to tell it from others, its SHA-256."""
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
