"""The JSON form of privacy events: written, read, and validated without importing dp_accounting."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ecgexp.privacy.dp_events import event_types

if TYPE_CHECKING:
    from dp_accounting import DpEvent

_DEEPEST = 20
_MOST = 10**12  # steps, or units of a data set


def to_json(event: "DpEvent") -> dict[str, Any]:
    """Return `event` as JSON-serializable values, exact to the last bit; see `from_json`."""
    attributes: Sequence[Any] = getattr(event, "__attrs_attrs__", ())
    fields = {item.name: getattr(event, item.name) for item in attributes}
    return {"type": type(event).__name__} | {name: _plain(value) for name, value in fields.items()}


def from_json(value: Mapping[str, Any]) -> "DpEvent":
    """Return the event that `to_json` wrote."""
    kind = getattr(event_types(), value["type"])
    return kind(**{name: _event_values(field) for name, field in value.items() if name != "type"})


def _plain(value: Any) -> Any:
    if hasattr(value, "__attrs_attrs__"):
        return to_json(value)
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _event_values(value: Any) -> Any:
    if isinstance(value, Mapping):
        return from_json(value)
    return (
        tuple(_event_values(item) for item in value) if isinstance(value, (list, tuple)) else value
    )


def check_event(value: Any, *, depth: int = 0) -> None:
    """Check that `value` is an event as `to_json` writes it.

    Args:
      value: nested mappings, lists and numbers.
      depth: depth of the event within others.

    Raises:
      ValueError: it is not an event, or a number in it is impossible; the message says which.
    """
    if depth > _DEEPEST or not isinstance(value, Mapping):
        raise ValueError("it contains no privacy event")
    kind = value.get("type")
    fields = _FIELDS.get(kind) if isinstance(kind, str) else None
    if fields is None or value.keys() - {"type"} != fields.keys():
        raise ValueError("it contains no privacy event of a known kind")
    for name, check in fields.items():
        if not check(value[name], depth):
            raise ValueError(f"its privacy event has an impossible {name}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _noise(value: Any, _: int) -> bool:
    return _is_number(value) and value >= 0


def _share(value: Any, _: int) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _count(value: Any, _: int) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _numbers(value: Any, _: int) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(_is_number(item) and item >= 0 for item in value)
    )


def _event(value: Any, depth: int) -> bool:
    check_event(value, depth=depth + 1)
    return True


def _events(value: Any, depth: int) -> bool:
    return isinstance(value, list | tuple) and all(_event(item, depth) for item in value)


_FIELDS: Mapping[str, Mapping[str, Callable[[Any, int], bool]]] = {
    "NoOpDpEvent": {},
    "NonPrivateDpEvent": {},
    "GaussianDpEvent": {"noise_multiplier": _noise},
    "PoissonSampledDpEvent": {"sampling_probability": _share, "event": _event},
    "TruncatedSubsampledGaussianDpEvent": {
        "dataset_size": _count,
        "sampling_probability": _share,
        "truncated_batch_size": _count,
        "noise_multiplier": _noise,
    },
    "SampledWithoutReplacementDpEvent": {
        "source_dataset_size": _count,
        "sample_size": _count,
        "event": _event,
    },
    "MixtureOfGaussiansDpEvent": {
        "standard_deviation": _noise,
        "sensitivities": _numbers,
        "sampling_probs": _numbers,
    },
    "SelfComposedDpEvent": {"event": _event, "count": _count},
    "ComposedDpEvent": {"events": _events},
}
