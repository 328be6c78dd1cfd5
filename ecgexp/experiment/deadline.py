"""The time limit of a run, `max_minutes=`."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ecgexp.settings.declaration import OutOfTime


@dataclass(kw_only=True)
class Deadline:
    """Ends a run in time, at a point from which it can be resumed.

    Attributes:
      minutes: largest duration of the run in this process; None: no limit.
      clock: seconds; replaced in tests.
      began: when the run began, by `clock`.
    """

    minutes: float | None = None
    clock: Callable[[], float] = time.monotonic
    began: float = field(default=-1.0)

    def __post_init__(self):
        if self.began < 0:
            self.began = self.clock()
        self._step_began, self._longest_step = self.began, 0.0

    @property
    def has_passed(self) -> bool:
        """Whether no time is left."""
        return self._left() <= 0

    def begin_steps(self) -> None:
        """Note that the training begins."""
        self._step_began = self.clock()

    def fits_another_step(self, *, divisible: bool) -> bool:
        """Return whether there is time for another epoch or round; called after each.

        Args:
          divisible: whether a step can be interrupted and resumed; if not, the longest step so far
            must fit into the time that is left.
        """
        now = self.clock()
        self._longest_step = max(self._longest_step, now - self._step_began)
        self._step_began = now
        return self._left() > (0 if divisible else self._longest_step)

    def check(self, where: str) -> None:
        """End the run if no time is left.

        Args:
          where: what the run was about to do, for the message.

        Raises:
          OutOfTime: no time is left.
        """
        if self.has_passed:
            self.end(where)

    def end(self, where: str) -> None:
        """End the run.

        Args:
          where: how far the run came, for the message.

        Raises:
          OutOfTime: always.
        """
        raise OutOfTime(f"max_minutes={self.minutes:g}: ended {where}")

    def _left(self) -> float:
        if self.minutes is None:
            return float("inf")
        return self.began + 60 * self.minutes - self.clock()
