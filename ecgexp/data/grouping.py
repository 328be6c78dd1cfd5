"""Assign classes to beats by their annotation symbols."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from ecgexp.data.beats import BeatSet
from ecgexp.data.formats.record import BEAT_SYMBOLS
from ecgexp.settings.declaration import ConfigError, DataError, check_named_once, settings

_CLASS_NAME = re.compile(r"[A-Za-z0-9_+-]+")


def _each_its_own(value: Any) -> Any:
    """Make a class of each name of a list."""
    if value is None:
        raise PydanticCustomError(
            "classes", "with grouping=labels, name the labels: dataset.classes=[normal,abnormal]"
        )
    return {str(name): (str(name),) for name in value} if isinstance(value, list | tuple) else value


@settings
class LabelGrouping:
    """A mapping of annotation symbols to classes; beats with other symbols are dropped and counted.

    Attributes:
      name: Name of the grouping.
      classes: class -> annotation symbols; the order of the classes is the order of the labels.
      of: `symbols`: the classes group annotation symbols; `labels`: they group labels of any name,
        and a list of names makes a class of each.
      empty_class: What to do if a class has no beat. `error`: stop, since the class has no score;
        `drop`: continue with the remaining classes, for a deliberate selection of records.

    Example:
      >>> grouping = LabelGrouping(name="two", classes={"N": ("N",), "other": ("V", "A")})
      >>> list(grouping.classes)
      ['N', 'other']
    """

    name: str
    classes: Annotated[
        dict[str, tuple[str, ...]], BeforeValidator(_each_its_own), Field(min_length=2)
    ]
    of: Literal["symbols", "labels"] = "symbols"
    empty_class: Literal["error", "drop"] = "error"

    def __post_init__(self):
        for name, symbols in self.classes.items():
            if not _CLASS_NAME.fullmatch(name):
                raise ConfigError(
                    f"grouping.classes: the class name {name!r} cannot be part of metric and file "
                    "names; use letters, digits, _ + -"
                )
            unknown = [symbol for symbol in symbols if symbol not in BEAT_SYMBOLS]
            if unknown and self.of == "symbols":
                raise ConfigError(
                    f"grouping.classes.{name}: {' '.join(unknown)} is not a beat symbol; "
                    f"use some of {' '.join(BEAT_SYMBOLS)}"
                )
            if not symbols:
                raise ConfigError(
                    f"grouping.classes.{name}: the class has no symbol; add a symbol or remove the "
                    "class"
                )
        for name, symbols in self.classes.items():
            check_named_once(f"grouping.classes.{name}", symbols)
        owners: dict[str, str] = {}
        for name, symbols in self.classes.items():
            for symbol in symbols:
                if (other := owners.setdefault(symbol, name)) != name:
                    raise ConfigError(
                        f"grouping.classes.{name}: symbol {symbol} is in classes {other} and "
                        f"{name}, but a beat has one class; remove it from one of them"
                    )

    def apply(self, beats: BeatSet) -> BeatSet:
        """Label the beats; drop beats whose symbol is in no class and count them as `symbol Q`.

        Args:
          beats: Beats without labels.

        Returns:
          The labeled beats; `dropped` has an entry for each symbol without a class.

        Raises:
          DataError: A class has no beat; the message lists the symbols that occur.
        """
        found = _count(beats.symbols)
        classes = {
            name: symbols
            for name, symbols in self.classes.items()
            if any(symbol in found for symbol in symbols)
        }
        empty = [name for name in self.classes if name not in classes]
        if (empty and self.empty_class == "error") or len(classes) < 2:
            raise DataError(self._describe(empty, found))
        class_of = {
            symbol: index for index, symbols in enumerate(classes.values()) for symbol in symbols
        }
        names, inverse = np.unique(beats.symbols, return_inverse=True)
        labels = np.asarray([class_of.get(str(name), -1) for name in names], np.int64)[inverse]
        unknown = {
            f"symbol {symbol}": count for symbol, count in found.items() if symbol not in class_of
        }
        labeled = replace(
            beats, labels=labels, class_names=tuple(classes), dropped={**beats.dropped, **unknown}
        )
        return labeled.take(np.flatnonzero(labels >= 0))

    def _describe(self, empty: list[str], found: Mapping[str, int]) -> str:
        there = ", ".join(f"{symbol} {count}" for symbol, count in found.items()) or "no beats"
        names = [name for name in found if name not in BEAT_SYMBOLS]
        if names and self.of == "symbols":
            return (
                f"grouping={self.name}: it groups annotation symbols, and the labels present are "
                f"{there}; use grouping=labels dataset.classes=[{','.join(names[:8])}]"
            )
        return (
            f"grouping={self.name}: no beat of class {', '.join(empty)} (symbols present: "
            f"{there}); use "
            "another grouping, more records, or grouping.empty_class=drop if at least two classes "
            "remain"
        )


def _count(symbols: np.ndarray) -> dict[str, int]:
    names, counts = np.unique(symbols, return_counts=True)
    return {str(names[i]): int(counts[i]) for i in np.argsort(-counts, kind="stable")}
