"""Local first: a run is written to its folder, and from there to wherever else it is wanted."""

import atexit
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ecgexp.settings.redaction import redact
from ecgexp.tracking.base import (
    DatasetInput,
    LoginRefused,
    ModelInput,
    Scalar,
    Status,
    Tracker,
    TrackerUnavailable,
)
from ecgexp.tracking.local.tracker import JsonlTracker, now

_log = logging.getLogger(__name__)

RETRY_AFTER_S = 60.0
END_WAITS_S = (1.0, 3.0, 9.0, 27.0)  # between the tries at the end of a run


class MirroredTracker:
    """Writes to the run's folder and to every mirror.

    A mirror that cannot be reached does not stop the run and loses nothing: what it missed waits, in order and with its
    time, and is delivered when it answers again, at the latest when the run ends, which is tried several times. An entry that
    a mirror refuses is passed over. The folder says whether all arrived; `ecgexp-sync` brings what did not.

    Args:
      local: the run's folder; what it refuses reaches no mirror, and its failures are the run's.
      mirrors: other trackers of the same run; the first with a run id gives the run its identity.
      clock: seconds, for the pause between two attempts on a mirror that fails.
      sleep: waits for some seconds, between the tries at the end.
    """

    def __init__(
        self, local: JsonlTracker, remotes: Sequence[Tracker], *, clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):  # fmt: skip
        self.local = local
        self._pending_queues = [
            _PendingQueue(remote, local.folder, clock, sleep) for remote in remotes
        ]
        atexit.register(self._abandon)

    @property
    def run_id(self) -> str | None:
        """The identity of the first mirror that has one."""
        return next(
            (box.remote.run_id for box in self._pending_queues if box.remote.run_id),
            self.local.run_id,
        )

    @property
    def url_hint(self) -> str:
        """Where the run can be looked at: the first mirror, or the folder."""
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

        Each point has one time everywhere and at every attempt: by it a store knows a point again that it took just before
        its answer was lost.
        """
        metrics, at = dict(metrics), now() if at is None else at
        self.local.log_metrics(metrics, step=step, at=at)
        self._send(lambda remote: remote.log_metrics(metrics, step=step, at=at))

    def discard_points(self, *, after: int) -> None:
        """See `Tracker.discard_points`."""
        self.local.discard_points(after=after)
        self._send(lambda remote: remote.discard_points(after=after))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """See `Tracker.set_tags`."""
        self.local.set_tags(tags)
        self._send(lambda remote: remote.set_tags(tags))

    def log_figure(self, figure: Any, path: str) -> None:
        """See `Tracker.log_figure`; drawn once."""
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

    def log_model(self, folder: Path, *, input_example: ModelInput) -> None:
        """See `Tracker.log_model`."""
        self.local.log_model(folder, input_example=input_example)
        self._send(
            lambda remote: remote.log_model(
                self.local.folder / "model", input_example=input_example
            )
        )

    def finish(self, status: Status, reason: str | None = None, *, at: float | None = None) -> None:
        """See `Tracker.finish`; what still waits for a mirror is tried again, and reported if it fails.

        A run that was interrupted tries once: whoever stops it does not wait.
        """
        self._finish(status, reason, at=at, waits=() if status == "KILLED" else END_WAITS_S)

    def _finish(
        self, status: Status, reason: str | None, *, at: float | None, waits: Sequence[float]
    ) -> None:
        atexit.unregister(self._abandon)
        at = now() if at is None else at
        try:
            self.local.finish(status, reason, at=at)
        finally:  # a full disk must not leave the mirrors without an end
            whole = [
                box.close(lambda remote: remote.finish(status, reason, at=at), waits)
                for box in self._pending_queues
            ]
        if all(whole):
            self.local.mark_whole()

    def _abandon(self) -> None:
        """Closes a run that nobody closed, so that no store shows it as RUNNING for ever."""
        self._finish(
            "FAILED", "the process ended without saying how the run ended", at=None, waits=()
        )

    def _send_file(self, path: str) -> None:
        folder = path.rpartition("/")[0]
        self._send(lambda remote: remote.log_file(self.local.folder / path, folder))

    def _send(self, call: Callable[[Tracker], None]) -> None:
        for box in self._pending_queues:
            box.send(call)


class _PendingQueue:
    """What one mirror has still to be told, oldest first."""

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
        """Whether the mirror has everything, after at most one more try than there are `waits`."""
        self._waiting.append(call)
        failed = self._deliver()
        for seconds in waits:
            if failed is None or isinstance(failed, LoginRefused):
                break
            _log.warning(
                "the tracking store does not answer; it is tried again in %g s: %s", seconds, failed
            )
            self._sleep(seconds)
            failed = self._deliver()
        missing = len(self._waiting) + self._refused
        if missing:
            _log.error(
                "%d entries of this run never reached the tracking store; nothing is lost, all are in %s: when the store "
                "answers, type ecgexp-sync %s",
                missing, self._folder, self._folder,
            )  # fmt: skip
        return not missing

    def _deliver(self) -> TrackerUnavailable | None:
        """Sends what waits, until the mirror fails; returns why."""
        while self._waiting:
            try:
                self._waiting[0](self.remote)
            except TrackerUnavailable as error:
                if len(self._waiting) == 1:  # the first of a silence
                    _log.warning(
                        "the tracking store does not answer; the run goes on, in %s meanwhile: %s",
                        self._folder,
                        error,
                    )
                self._not_before = self._clock() + RETRY_AFTER_S
                return error
            except Exception as error:  # noqa: BLE001 - a run that trains must not end because of a mirror, whatever it says
                self._refused += 1
                _log.error(
                    "the tracking store refuses an entry, which is kept in %s: %s: %s",
                    self._folder, type(error).__name__, redact(str(error)),
                )  # fmt: skip
            del self._waiting[0]
        return None
