"""A run's settings as they may be kept: one dotted name per leaf, and nothing secret among the values."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ecgexp.tracking.base import Scalar
from ecgexp.tracking.checks import check_name

HIDDEN = "***"

_WITHOUT_EFFECT = re.compile(
    r"(resume|name|tracking|sweep|data|checkpoints|hydra)([./@].*)?|dataset\.(.*\.)?(root|cache_dir)"
)
"""The settings on which no result depends: where a run and its data are kept, how it was started, how often it is saved."""

_SECRET_NAME = r"(?:password|passwd|secret|token|(?:api|access|secret)_?key|credentials?|noise_seed)"
_SECRET = re.compile(rf"{_SECRET_NAME}$", re.IGNORECASE)
# A scheme is short, or a long word would be searched from each of its letters to its end.
# To the last @ before the path, because a password that was not escaped may hold one. Hydra puts backslashes before colons.
_USER_INFO = re.compile(r"(?P<start>[a-z][a-z0-9+.\-]{0,30}\\*:\\*/\\*/[^\s/:@\\]*\\*:)[^\s/]*@", re.IGNORECASE)
# As it is typed, or stands in an address; null is no secret, nor is a reference such as ${oc.env:NAME}.
_TYPED = re.compile(rf"(?P<name>{_SECRET_NAME}=)(?!null\b|\$\{{)[^\s,;&#'\"]+", re.IGNORECASE)


def hide_passwords(text: str) -> str:
    """Blots out the password of every address in `text`: `http://me:pw@host` becomes `http://me:***@host`."""
    return _USER_INFO.sub(rf"\g<start>{HIDDEN}@", text)


def redact(text: str) -> str:
    """Blots out the passwords of addresses, and what is typed after the name of a secret: `token=abc` becomes `token=***`."""
    return _TYPED.sub(rf"\g<name>{HIDDEN}", hide_passwords(text))


def redacted(values: Any) -> Any:
    """`values` (nested mappings and lists) without its secrets; whatever a run writes down passes through here.

    A noise seed is a secret too: whoever knows it subtracts the noise of a private run.
    """
    if isinstance(values, Mapping):
        return {key: _hide(value) if _SECRET.search(str(key)) else redacted(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [redacted(value) for value in values]
    return redact(values) if isinstance(values, str) else values


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


def _hide(value: Any) -> Any:
    return None if value is None else HIDDEN
