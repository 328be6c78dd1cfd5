"""The time limit of a run, `max_minutes=`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ecgexp.formatting import duration_text
from ecgexp.settings.declaration import OutOfTime

_CLOSING = 0.4  # of the start: delivery to the tracker and the end of the process
_LONGEST_CLOSING_S = 60.0  # a start that preprocesses a database says little about the end
_SAVES = 2.0  # times the longest one so far, which is what the last one may take
_EVALUATION = 1.0  # of the start: bootstrap, figures and the model's file


@dataclass(kw_only=True)
class Deadline:
    """Ends a run in time, at a point from which it can be resumed.

    The limit holds for the whole run, so that time is reserved for what follows the last step. It
    is estimated from what the run has measured in this process, on this machine as loaded as it is:
    the time from its start to its first step (imports, data, model), the longest time to save its
    state, the latest validation, and the longest time between two moments at which it can end.

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
        self._start, self._saving, self._validation = 0.0, 0.0, 0.0
        self._looked, self._between = -1.0, 0.0

    @property
    def must_end(self) -> bool:
        """Whether a step that is under way must be saved and left now; asked again and again."""
        now = self.clock()
        if self._looked >= 0:
            self._between = max(self._between, now - self._looked)
        self._looked = now
        return self._left() <= self._between + self._ending()

    def begin_steps(self) -> None:
        """Note that the training begins."""
        self._step_began = self.clock()
        self._start = self._step_began - self.began

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Measure how long the state of the training takes to be saved."""
        before = self.clock()
        yield
        now = self.clock()
        self._saving = max(self._saving, now - before)
        if self._looked >= 0:
            self._looked = now

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Measure how long a validation takes; the first one, which is compiled, is replaced."""
        before = self.clock()
        yield
        self._validation = self.clock() - before

    def fits_another_step(self, *, divisible: bool) -> bool:
        """Return whether there is time for another epoch or round; called after each.

        Args:
          divisible: whether a step can be interrupted and resumed; if not, the longest step so far
            must fit into the time that is left.
        """
        now = self.clock()
        self._longest_step = max(self._longest_step, now - self._step_began)
        self._step_began, self._looked = now, -1.0
        needed = self._between + self._validation if divisible else self._longest_step
        return self._left() > needed + self._ending()

    def check(self, where: str) -> None:
        """End the run if no time is left.

        Args:
          where: what the run was about to do, for the message.

        Raises:
          OutOfTime: no time is left.
        """
        if self._left() <= 0:
            self.end(where)

    def check_evaluation(self, beats: float) -> None:
        """End the run, trained and saved, if its evaluation does not fit into the time left.

        Args:
          beats: number of beats to evaluate, as a multiple of the validation beats.

        Raises:
          OutOfTime: it does not fit.
        """
        needed = beats * self._validation + _EVALUATION * self._start + self._ending()
        if self._left() <= needed:
            self.end(f"before the evaluation, which needs about {duration_text(needed)}")

    def end(self, where: str) -> None:
        """End the run.

        Args:
          where: how far the run came, for the message.

        Raises:
          OutOfTime: always.
        """
        raise OutOfTime(f"max_minutes={self.minutes:g}: ended {where}")

    def _ending(self) -> float:
        """Return how long the run will take to save its state and to end, in seconds."""
        return _SAVES * self._saving + min(_CLOSING * self._start, _LONGEST_CLOSING_S)

    def _left(self) -> float:
        if self.minutes is None:
            return float("inf")
        return self.began + 60 * self.minutes - self.clock()
