"""What may be kept, and under which name: the rules that all trackers share."""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

_NAME = re.compile(r"[A-Za-z0-9_.\-:/ ]{1,250}")


def check_name(name: str, *, kind: str) -> str:
    """Returns `name` if every tracker can keep something under it.

    Args:
      name: e.g. `test/f1/V`.
      kind: what is named, for the message: "metric", "parameter", "tag".

    Raises:
      ValueError: a character other than letters, digits and `_.-:/ `, an empty part between slashes, or more than 250
        characters.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{kind} name {name!r} must have 1 to 250 characters out of A-Z a-z 0-9 _ . - : / and blank"
        )
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(
            f"{kind} name {name!r} has an empty part between its slashes; a class called '/' needs another name here"
        )
    return name


def check_path(path: str) -> str:
    """Returns `path` if it stays inside the run's folder.

    Raises:
      ValueError: an absolute path, a backslash, or a part that is `..`.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "\\" in path or ".." in parts:
        raise ValueError(
            f"artifact path {path!r} must be relative and stay inside the run, e.g. figures/roc.png"
        )
    return path


class Points:
    """The points (metric, step) of one run: lets each pass once.

    Args:
      known: points that an earlier session of the same run has kept; they are passed over without an error, because a
        resumed run repeats the steps since its last checkpoint.
    """

    def __init__(self, known: Iterable[tuple[str, int | None]] = ()):
        self._known = set(known)
        self._seen: set[tuple[str, int | None]] = set()

    def check(self, metrics: Mapping[str, float], step: int | None) -> dict[str, float | None]:
        """The metrics that are new, as plain floats; None stands for one that is undefined (NaN or infinite).

        Raises:
          ValueError: a name that cannot be kept, or a point that was kept before.
        """
        for name in metrics:
            if (check_name(name, kind="metric"), step) in self._seen:
                raise ValueError(
                    f"metric {name!r} already has a value at step {step}: one metric, one step, once"
                )
        return {
            name: _finite(value)
            for name, value in metrics.items()
            if (name, step) not in self._known
        }

    def discard(self, *, after: int) -> None:
        """Forgets the points of the steps beyond `after`, so that they can come again."""
        for points in (self._known, self._seen):
            points -= {(name, step) for name, step in points if step is not None and step > after}

    def keep(self, metrics: Iterable[str], step: int | None) -> None:
        """Remembers that the points have been kept; until then a failed attempt may be repeated."""
        self._seen.update((name, step) for name in metrics)


def _finite(value: float) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
