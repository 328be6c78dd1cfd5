"""What the columns of CSV recordings mean: as in the training of the model, or as the user says."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from ecgexp.data.formats.csv_layout import CsvLayout
from ecgexp.settings.declaration import ConfigError, build

_NAMES = tuple(each.name for each in fields(CsvLayout))
SETTINGS = tuple(f"dataset.{part}{name}" for name in _NAMES for part in ("", "train."))
"""Parameters of a run that are used, and `dataset.parts`."""

_NONE = (None, "None")


def csv_layout(params: Mapping[str, Any], typed: Sequence[str]) -> CsvLayout:
    """Return what the columns mean.

    Args:
      params: Parameters of the run, by their dotted names: `SETTINGS` and `dataset.parts`. Of
        several parts those settings are used that all of them have in common.
      typed: Settings as in a command, e.g. `dataset.units=mV`, which take precedence.

    Returns:
      The layout.

    Raises:
      ConfigError: A setting is not one of CSV recordings, or its value is not valid.

    Example:
      >>> csv_layout({"dataset.units": "mV"}, ["dataset.recorded_hz=250"]).units
      'mV'
    """
    found: dict[str, Any] = {}
    parts = params.get("dataset.parts")
    for name in _NAMES:
        values = [params.get(f"dataset.{part}{name}") for part in ("", "train.")]
        in_parts = [part.get(name) for part in parts or () if isinstance(part, dict)]
        if in_parts and all(value == in_parts[0] for value in in_parts):
            values.append(in_parts[0])
        if given := [value for value in values if value not in _NONE]:
            found[name] = given[0]
    for text in typed:
        name, _, value = text.removeprefix("dataset.").partition("=")
        if not text.startswith("dataset.") or name not in _NAMES:
            raise ConfigError(
                f"{text}: it is no setting of CSV recordings; use one of "
                f"{', '.join(f'dataset.{each}=' for each in _NAMES)}"
            )
        found[name] = _value(value)
    return build(CsvLayout, found, path="dataset")


def _value(text: str) -> Any:
    """Return a typed value; quotes around a text are left out."""
    try:
        return float(text)
    except ValueError:
        return None if text == "null" else text.strip("'\"")
