"""Rules that all trackers share: names, paths, one value per parameter, and per metric and step."""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9_.\-:/ ]{1,250}")


def check_name(name: str, *, kind: str) -> str:
    """Return `name` if it is valid in every tracker.

    Args:
      name: e.g. `test/f1/V`.
      kind: what is named, for the message: "metric", "parameter" or "tag".

    Returns:
      `name`, unchanged.

    Raises:
      ValueError: a character other than letters, digits and `_.-:/ `, an empty part between
        slashes, or more than 250 characters.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{kind} name {name!r} must have 1 to 250 characters out of A-Z a-z 0-9 _ . - : / and "
            "blank"
        )
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(
            f"{kind} name {name!r} has an empty part between its slashes; use another name for a "
            "class called '/'"
        )
    return name


def check_path(path: str) -> str:
    """Return `path` if it stays inside the run's folder.

    Raises:
      ValueError: an absolute path, a backslash, or a part that is `..`.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "\\" in path or ".." in parts:
        raise ValueError(
            f"artifact path {path!r} must be relative and stay inside the run, e.g. figures/roc.png"
        )
    return path


def check_params(fresh: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
    """Check that no parameter that a run has already gets another value.

    Args:
      fresh: the parameters to be logged.
      kept: those that were logged before.

    Raises:
      ValueError: one does.
    """
    for name, value in fresh.items():
        if name in kept and kept[name] != value:
            raise ValueError(f"parameter {name!r} already has another value: {kept[name]!r}")


class Points:
    """The points (metric, step) of one run; each is accepted once.

    Args:
      known: points that an earlier session of the same run has stored; they are skipped without an
        error, because a resumed run repeats the steps since its last checkpoint.
    """

    def __init__(self, known: Iterable[tuple[str, int | None]] = ()):
        self._known = set(known)
        self._seen: set[tuple[str, int | None]] = set()

    def check(self, metrics: Mapping[str, float], step: int | None) -> dict[str, float | None]:
        """Return the metrics that are new, as plain floats.

        None marks an undefined one (NaN or infinite).

        Raises:
          ValueError: an invalid name, or a point that was stored before.
        """
        for name in metrics:
            if (check_name(name, kind="metric"), step) in self._seen:
                raise ValueError(
                    f"metric {name!r} already has a value at step {step}; log each metric once per "
                    "step"
                )
        return {
            name: _finite(value)
            for name, value in metrics.items()
            if (name, step) not in self._known
        }

    def discard(self, *, after: int) -> None:
        """Remove the points of the steps after `after`, so that they are accepted again."""
        for points in (self._known, self._seen):
            points -= {(name, step) for name, step in points if step is not None and step > after}

    def keep(self, metrics: Iterable[str], step: int | None) -> None:
        """Mark the points as stored; until then a failed attempt may be repeated."""
        self._seen.update((name, step) for name in metrics)


def _finite(value: float) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
