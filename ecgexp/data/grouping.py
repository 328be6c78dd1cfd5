"""Annotation symbols to classes."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ecgexp.data.beats import BeatSet
from ecgexp.data.formats.record import BEAT_SYMBOLS
from ecgexp.settings.declaration import ConfigError, DataError, check_named_once, settings

_CLASS_NAME = re.compile(r"[A-Za-z0-9_+-]+")


@settings
class LabelGrouping:
    """A table of classes; beats of symbols that it does not name are dropped and counted.

    Attributes:
      name: of the table.
      classes: class -> its annotation symbols; the order of the classes is the order of the labels.
      empty_class: what to do when no beat of a class is there. `error`: stop, since a score of that class could not be
        given; `drop`: go on with the classes that are there, for records chosen so.
    """

    name: str
    classes: Annotated[dict[str, tuple[str, ...]], Field(min_length=2)]
    empty_class: Literal["error", "drop"] = "error"

    def __post_init__(self):
        for name, symbols in self.classes.items():
            if not _CLASS_NAME.fullmatch(name):
                raise ConfigError(
                    f"grouping.classes: the class name {name!r} is refused, for it becomes part of metric and file "
                    "names; use letters, digits, _ + -"
                )
            if unknown := [symbol for symbol in symbols if symbol not in BEAT_SYMBOLS]:
                raise ConfigError(
                    f"grouping.classes.{name}: {' '.join(unknown)} is no beat symbol; "
                    f"there are {' '.join(BEAT_SYMBOLS)}"
                )
            if not symbols:
                raise ConfigError(
                    f"grouping.classes.{name} names no symbol; give it one or take it out"
                )
        for name, symbols in self.classes.items():
            check_named_once(f"grouping.classes.{name}", symbols)
        owners: dict[str, str] = {}
        for name, symbols in self.classes.items():
            for symbol in symbols:
                if (other := owners.setdefault(symbol, name)) != name:
                    raise ConfigError(
                        f"grouping.classes.{name}: symbol {symbol} stands in classes {other} and {name}; a beat has one class"
                    )

    def apply(self, beats: BeatSet) -> BeatSet:
        """Labels the beats and drops those whose symbol is in no class, counted in `dropped` as `symbol Q`.

        Raises:
          DataError: a class has no beat; the message lists what is there.
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
        labelled = replace(
            beats, labels=labels, class_names=tuple(classes), dropped={**beats.dropped, **unknown}
        )
        return labelled.take(np.flatnonzero(labels >= 0))

    def _describe(self, empty: list[str], found: Mapping[str, int]) -> str:
        there = (
            ", ".join(f"{symbol} {count}" for symbol, count in found.items()) or "no beat at all"
        )
        return (
            f"grouping={self.name}: no beat of class {', '.join(empty)}; there are {there}. Take another grouping or "
            "more records, or grouping.empty_class=drop if two classes or more are left"
        )


def _count(symbols: np.ndarray) -> dict[str, int]:
    names, counts = np.unique(symbols, return_counts=True)
    return {str(names[i]): int(counts[i]) for i in np.argsort(-counts, kind="stable")}
