"""How long training will take, estimated once from its first steps."""

import time
from collections.abc import Callable

from ecgexp.console import Console
from ecgexp.formatting import duration_text

_SECONDS = 5.0  # of steps that are measured; the first one, which is compiled, is not


class TimeLeft:
    """Prints, after the first steps, how long the remaining ones will take.

    Args:
      console: receives one line; a training that ends before prints none.
      step_name: `epoch` or `round`.
      num_steps: epochs or rounds of the training.
      clock: returns seconds.
    """

    def __init__(
        self,
        console: Console,
        step_name: str,
        num_steps: int,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._console, self._step_name, self._num_steps = console, step_name, num_steps
        self._clock = clock
        self._first: tuple[float, float] | None = None
        self._is_shown = False

    def __call__(self, step: int, done: int, total: int) -> None:
        """Take note of progress.

        Args:
          step: 1-based epoch or round.
          done: finished steps of it.
          total: its steps.
        """
        if self._is_shown:
            return
        now, finished = self._clock(), step - 1 + done / total
        if self._first is None:
            self._first = (now, finished)
            return
        seconds, share = now - self._first[0], finished - self._first[1]
        if seconds < _SECONDS or share <= 0 or finished >= self._num_steps:
            return
        self._is_shown = True
        each = seconds / share
        self._console.print(
            f"training: about {duration_text(each * (self._num_steps - finished))} left, "
            f"{each:.2g} s for each {self._step_name}"
        )
