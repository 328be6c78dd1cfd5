"""A tracker that writes a run to its folder first, and then to one or more remote trackers."""

import atexit
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ecgexp.settings.installation import to_type
from ecgexp.settings.redaction import redact
from ecgexp.tracking.base import (
    DatasetInput,
    LoginRefused,
    ReadableTracker,
    Scalar,
    Status,
    Tracker,
    TrackerUnavailable,
)
from ecgexp.tracking.local.tracker import JsonlTracker, now

_log = logging.getLogger(__name__)

RETRY_AFTER_S = 60.0
END_WAITS_S = (1.0, 3.0, 9.0, 27.0)  # between the attempts at the end of a run


class MirroredTracker:
    """Writes to the run's folder and to every remote tracker.

    **Guarantees**: a remote that cannot be reached does not stop the run, and no entry is lost:
    missed entries wait in order, with their times, and are delivered when the remote answers again.
    The end of the run tries several times. An entry that a remote refuses is skipped. `run.json`
    notes whether all entries arrived; `ecgexp-sync` delivers the others
    (`tests/unit/tracking/test_mirrored.py`).

    Args:
      local: tracker of the run's folder; an entry that it refuses reaches no remote, and its errors
        end the run.
      remotes: other trackers of the same run; the first one with a run id gives the run its id.
      clock: returns seconds, for the pause between two attempts on a remote that fails.
      sleep: waits for the given seconds between the attempts at the end.
    """

    def __init__(
        self,
        local: JsonlTracker,
        remotes: Sequence[Tracker],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.local = local
        self._pending_queues = [
            _PendingQueue(remote, local.folder, clock, sleep) for remote in remotes
        ]
        atexit.register(self._abandon)

    @property
    def run_id(self) -> str | None:
        """The run id of the first remote that has one."""
        return next(
            (box.remote.run_id for box in self._pending_queues if box.remote.run_id),
            self.local.run_id,
        )

    @property
    def url_hint(self) -> str:
        """Where the run can be viewed: the first remote, or the folder."""
        return (
            self._pending_queues[0].remote.url_hint if self._pending_queues else self.local.url_hint
        )

    def log_params(self, params: Mapping[str, Scalar]) -> None:
        """See `Tracker.log_params`."""
        self.local.log_params(params)
        self._send(lambda remote: remote.log_params(params))

    def log_metrics(
        self, metrics: Mapping[str, float], *, step: int | None = None, at: float | None = None
    ) -> None:
        """See `Tracker.log_metrics`.

        Each point has one time in all trackers and attempts, by which a store recognizes a point
        that it had accepted before its answer was lost.
        """
        metrics, at = dict(metrics), now() if at is None else at
        self.local.log_metrics(metrics, step=step, at=at)
        self._send(lambda remote: remote.log_metrics(metrics, step=step, at=at))

    def points(self) -> set[tuple[str, int | None]]:
        """See `ReadableTracker.points`; those of the folder, which has all."""
        return self.local.points()

    def discard_points(self, *, after: int) -> None:
        """See `ReadableTracker.discard_points`."""
        self.local.discard_points(after=after)
        self._send(lambda remote: _discard(remote, after))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """See `Tracker.set_tags`."""
        self.local.set_tags(tags)
        self._send(lambda remote: remote.set_tags(tags))

    def log_figure(self, figure: Any, path: str) -> None:
        """See `Tracker.log_figure`; the figure is drawn once."""
        self.local.log_figure(figure, path)
        self._send_file(path)

    def log_file(self, path: Path, folder: str = "") -> None:
        """See `Tracker.log_file`."""
        self.local.log_file(path, folder)
        self._send_file(f"{folder}/{path.name}" if folder else path.name)

    def log_text(self, text: str, path: str) -> None:
        """See `Tracker.log_text`."""
        self.local.log_text(text, path)
        self._send_file(path)

    def log_dict(self, values: Mapping[str, Any], path: str) -> None:
        """See `Tracker.log_dict`."""
        self.local.log_dict(values, path)
        self._send_file(path)

    def log_table(self, table: Any, path: str) -> None:
        """See `Tracker.log_table`."""
        self.local.log_table(table, path)
        self._send_file(path)

    def log_dataset(self, dataset: DatasetInput) -> None:
        """See `Tracker.log_dataset`."""
        self.local.log_dataset(dataset)
        self._send(lambda remote: remote.log_dataset(dataset))

    def log_model(self, folder: Path) -> None:
        """See `Tracker.log_model`."""
        self.local.log_model(folder)
        self._send(lambda remote: remote.log_model(self.local.folder / "model"))

    def finish(self, status: Status, reason: str | None = None, *, at: float | None = None) -> None:
        """See `Tracker.finish`; waiting entries are sent again, and reported if that fails.

        A run that was interrupted makes one attempt, so that it ends without delay.
        """
        self._finish(status, reason, at=at, waits=() if status == "KILLED" else END_WAITS_S)

    def _finish(
        self, status: Status, reason: str | None, *, at: float | None, waits: Sequence[float]
    ) -> None:
        atexit.unregister(self._abandon)
        at = now() if at is None else at
        try:
            self.local.finish(status, reason, at=at)
        finally:  # a full disk must not leave the remotes without a final status
            whole = [
                box.close(lambda remote: remote.finish(status, reason, at=at), waits)
                for box in self._pending_queues
            ]
        if all(whole):
            self.local.mark_whole()

    def _abandon(self) -> None:
        """Close a run that was not finished, so that no store shows it as RUNNING forever."""
        self._finish(
            "FAILED", "the process ended without reporting how the run ended", at=None, waits=()
        )

    def _send_file(self, path: str) -> None:
        folder = path.rpartition("/")[0]
        self._send(lambda remote: remote.log_file(self.local.folder / path, folder))

    def _send(self, call: Callable[[Tracker], None]) -> None:
        for box in self._pending_queues:
            box.send(call)


def _discard(remote: Tracker, after: int) -> None:
    """Discard points, which only a run that is resumed has, and it has no other remotes."""
    if isinstance(remote, ReadableTracker):
        remote.discard_points(after=after)


class _PendingQueue:
    """Entries that one remote has not received yet, oldest first."""

    def __init__(
        self,
        remote: Tracker,
        folder: Path,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ):
        self.remote = remote
        self._folder = folder
        self._clock, self._sleep = clock, sleep
        self._waiting: list[Callable[[Tracker], None]] = []
        self._refused = 0
        self._not_before = clock()

    def send(self, call: Callable[[Tracker], None]) -> None:
        self._waiting.append(call)
        if self._clock() >= self._not_before:
            self._deliver()

    def close(self, call: Callable[[Tracker], None], waits: Sequence[float]) -> bool:
        """Return whether the remote has all entries, after at most `len(waits) + 1` attempts."""
        self._waiting.append(call)
        failed = self._deliver()
        for seconds in waits:
            if failed is None or isinstance(failed, LoginRefused):
                break
            _log.warning(
                "the tracking store does not answer; next attempt in %g s: %s", seconds, failed
            )
            self._sleep(seconds)
            failed = self._deliver()
        missing = len(self._waiting) + self._refused
        if missing:
            _log.error(
                "%d entries of this run did not reach the tracking store; all are in %s: use "
                "%s when the store answers",
                missing,
                self._folder,
                to_type(["ecgexp-sync", str(self._folder)]),
            )
        return not missing

    def _deliver(self) -> TrackerUnavailable | None:
        """Send waiting entries until the remote fails; return the error, or None."""
        while self._waiting:
            try:
                self._waiting[0](self.remote)
            except TrackerUnavailable as error:
                if len(self._waiting) == 1:  # the first failure in a row
                    _log.warning(
                        "the tracking store does not answer; the run continues and writes to %s: "
                        "%s",
                        self._folder,
                        error,
                    )
                self._not_before = self._clock() + RETRY_AFTER_S
                return error
            except Exception as error:  # noqa: BLE001 - no error of a remote may end a training run
                self._refused += 1
                _log.error(
                    "the tracking store refuses an entry, which stays in %s: %s: %s",
                    self._folder,
                    type(error).__name__,
                    redact(str(error)),
                )
            del self._waiting[0]
        return None
