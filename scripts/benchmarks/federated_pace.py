"""Common parts of all variants of `federated.py`: the clients' data, and the start of rounds.

Imports numpy only.
"""

import functools
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

WINDOW, NUM_CLASSES = 180, 5
CLIENT_RATE = 0.02


@dataclass(frozen=True)
class Problem:
    """Equal clients of random beats, and how they train.

    Attributes:
      model: `cnn1d` or `cnn1d_small`.
      num_clients: clients, all of which take part in every round.
      beats: of each client.
      batch_size: rows of a batch.
      num_rounds: rounds.
    """

    model: str
    num_clients: int
    beats: int
    batch_size: int
    num_rounds: int

    @property
    def clients(self) -> dict[str, np.ndarray]:
        """Client id -> rows."""
        rows = np.arange(self.num_clients * self.beats).reshape(self.num_clients, self.beats)
        return {f"{number:04}": of_client for number, of_client in enumerate(rows)}


@functools.cache
def arrays(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """(num_beats, window, 1) float32 signals and (num_beats,) int64 labels."""
    rng = np.random.default_rng(0)
    num_beats = problem.num_clients * problem.beats
    return rng.standard_normal((num_beats, WINDOW, 1), np.float32), rng.integers(
        NUM_CLASSES, size=num_beats
    )


class Pace:
    """Starts a round when the parent process requests it, and reports its duration.

    Requests arrive by standard input and answers leave by the original standard output; what a
    library prints there goes to standard error.
    """

    def __init__(self, problem: Problem):
        self._problem, self._done, self._started = problem, 0, 0.0
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def begin(self) -> None:
        """Waits for the first round's start."""
        if not sys.stdin.readline():
            os._exit(1)  # the parent has ended; an exception would only end this thread
        self._started = time.perf_counter()

    def finish_round(self, weights: Sequence[Any] | None = None, **facts: Any) -> None:
        """Answers, then waits for the next round's start if there is one.

        Args:
          weights: of the global model after the round.
          facts: for the parent's table.
        """
        answer = {"seconds": time.perf_counter() - self._started, **facts}
        self._done += 1
        if weights is not None and self._done == 1:
            answer["parameters"] = int(sum(np.size(array) for array in weights))
            answer["norms"] = [float(np.linalg.norm(array)) for array in weights]
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()
        if self._done < self._problem.num_rounds:
            self.begin()
