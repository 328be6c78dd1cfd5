"""Runs inputs in worker processes with limits of time and memory; replaces failed processes."""

import contextlib
import ctypes
import multiprocessing
import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from fuzzing.verdicts import FINDING, Verdict, try_input

_POLL_S = 0.2
_PATIENCE = 3  # factor on the time limit for an input that is tried again
_PR_SET_PDEATHSIG = 1
Attempt = Callable[[Any, int, int, Path], Verdict]
_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one input.

    Attributes:
      seconds: time after which its process is killed.
      memory_mib: memory beyond that of a process at its start.
    """

    seconds: float = 10.0
    memory_mib: int = 512


def run(
    cases: Any,
    *,
    seed: int,
    numbers: range,
    workers: int,
    limits: Limits,
    until: float,
    attempt: Attempt = try_input,
) -> Iterator[tuple[int, Verdict | None]]:
    """Runs all inputs, or as many as time allows.

    Args:
      cases: the valid records, or other values for `attempt`.
      seed: seed of the campaign.
      numbers: numbers of the inputs.
      workers: number of processes.
      limits: limits of each input.
      until: `time.monotonic()` at which to stop.
      attempt: `(cases, seed, number, folder)` runs one input; the folder is that of its process.

    Yields:
      Number and verdict, in any order; the verdict is None after a crash or hang.
    """
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place, contextlib.ExitStack() as ending:
        lanes = [
            _Lane(cases, seed, numbers[lane::workers], Path(place) / str(lane), limits, attempt)
            for lane in range(workers)
        ]
        for lane in lanes:
            ending.callback(lane.end)
            lane.start()
        while any(lane.is_open for lane in lanes) and time.monotonic() < until:
            for pipe in wait([lane.pipe for lane in lanes if lane.is_open], timeout=_POLL_S):
                yield from next(lane for lane in lanes if lane.pipe is pipe).received()
            for lane in lanes:
                yield from lane.watched()


class _Lane:
    """A part of the inputs and the process that runs them, which is replaced after a crash."""

    def __init__(
        self,
        cases: Any,
        seed: int,
        numbers: Sequence[int],
        folder: Path,
        limits: Limits,
        attempt: Attempt,
    ):
        self._cases, self._seed, self._left, self._folder, self._limits = (
            cases,
            seed,
            numbers,
            folder,
            limits,
        )
        self._attempt = attempt
        self._started = _FORK.Value("q", -1)
        self._since, self._seen, self._suspect = time.monotonic(), -1, -1
        self.is_open = bool(numbers)

    def start(self) -> None:
        self.pipe, end = _FORK.Pipe(duplex=False)
        self._since = time.monotonic()
        self._process = _FORK.Process(target=self._work, args=(end,), daemon=True)
        self._process.start()
        end.close()

    def end(self) -> None:
        if self.is_open:
            self.is_open = False
            self._stop()

    def received(self) -> Iterator[tuple[int, Verdict | None]]:
        """Yields the results that the process has sent; its last message is None."""
        try:
            while self.pipe.poll():
                message = self.pipe.recv()
                if message is None:
                    self.is_open = False
                    self._stop()
                    return
                self._left = self._left[self._left.index(message[0]) + 1 :]
                yield message
        except EOFError:  # the process crashed
            yield from self._lost()

    def watched(self) -> Iterator[tuple[int, Verdict | None]]:
        """Kills the process if its input takes too long."""
        number = self._started.value
        if number != self._seen:
            self._seen, self._since = number, time.monotonic()
            return
        patience = _PATIENCE if number == self._suspect else 1
        if self.is_open and time.monotonic() - self._since > self._limits.seconds * patience:
            yield from self.received()
            if self.is_open and self._left and self._left[0] == number:
                yield from self._lost()

    def _lost(self) -> Iterator[tuple[int, Verdict | None]]:
        """Runs a failed input once more with more time, for a busy machine may be the cause."""
        self._stop()
        number = self._left[0]
        if number == self._suspect:
            self._left = self._left[1:]
            yield number, None
        self._suspect = number
        self.is_open = bool(self._left)
        if self.is_open:
            self.start()

    def _stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()

    def _work(self, pipe: Connection) -> None:
        # The process ends with its parent.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        self._folder.mkdir(exist_ok=True)
        limit_memory(self._limits.memory_mib)
        with (
            open(os.devnull, "w", encoding="utf-8") as nowhere,
            contextlib.redirect_stdout(nowhere),
        ):
            for number in self._left:
                self._started.value = number
                pipe.send(
                    (number, _small(self._attempt(self._cases, self._seed, number, self._folder)))
                )
        pipe.send(None)


def limit_memory(mib: int) -> None:
    """Limits the address space of this process to its present size plus `mib`."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _small(verdict: Verdict) -> Any:
    """Removes the files of a verdict, which can be made again from seed and number."""
    from dataclasses import replace

    return replace(verdict, files={}, detail=verdict.detail if verdict.outcome == FINDING else "")
