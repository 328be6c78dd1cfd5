"""The log of all evaluations on test beats in a store: append-only, one JSON line per event.

Scores on test beats are optimistic if a configuration was chosen by them, and the more so the more
often they were looked at. The log is a file in the private folder of the store, beside the record
of privacy losses, so deletion in MLflow or of a run's folder does not change it.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NotRequired

from filelock import FileLock, Timeout
from typing_extensions import TypedDict

from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.handles import NO_LINK
from ecgexp.storage.reading import MissingFileError, cut_torn_line, read_lines

NAME = "evaluations.jsonl"
_LOCK_S = 60.0
_FIX = "restore the file from a copy; do not remove it, or evaluations are forgotten"


class EventValues(TypedDict):
    """A line of the log: the beginning or the end of an evaluation."""

    event: Literal["begin", "end"]
    time: float
    id: str
    test_set: str
    configuration: str
    name: NotRequired[str]
    run_dir: NotRequired[str]
    run_id: NotRequired[str | None]
    test_sha256: NotRequired[str]
    database: NotRequired[str]
    study: NotRequired[str]
    predictions: NotRequired[str]


@dataclass(frozen=True, kw_only=True)
class EvaluatedRun:
    """A run as the log names it.

    Attributes:
      id: the same for all starts of the run, and of no other run.
      configuration: digest of its configuration, with the seed.
      name: its name.
      run_dir: its folder.
      run_id: in MLflow; None without it.
    """

    id: str
    configuration: str
    name: str
    run_dir: str
    run_id: str | None


@dataclass(frozen=True, kw_only=True)
class Count:
    """The place of one evaluation among those of its test set.

    Attributes:
      number: 1 for the first evaluation of the test set.
      evaluations: number of evaluations of the test set so far, this one included.
      is_repeat: whether an earlier run had the same configuration and the same predictions; it has
        the number of that run, and is no further evaluation.
    """

    number: int
    evaluations: int
    is_repeat: bool


class SealOpenedError(DataError):
    """The sealed test beats of a study were opened for another run."""


class EvaluationLog:
    """The log of one store.

    **Guarantees** (`tests/unit/tracking/test_evaluation_log.py`): an evaluation counts from its
    beginning, which is on the disk before the test beats are scored, whether it ends or not; jobs
    that write at the same time lose no line; no line is changed or removed, but for an incomplete
    last one that a killed process left; the sealed test beats of a study are opened for one run.

    Args:
      folder: the private folder of the store; see `ecgexp.tracking.settings`.
    """

    def __init__(self, folder: Path):
        self._folder, self.file = folder, folder / NAME

    def check(self) -> None:
        """Check that the log can be read and written; done before training.

        Raises:
          ConfigError: it cannot.
        """
        with self._held():
            self._append(None)

    def begin(
        self,
        run: EvaluatedRun,
        *,
        test_set: str,
        test_sha256: str,
        database: str,
        study: str | None = None,
    ) -> None:
        """Record that an evaluation begins, and wait for the disk.

        Args:
          run: the run.
          test_set: digest that identifies the test set.
          test_sha256: digest of the content of its beats.
          database: name and version of the database.
          study: name of the study whose sealed test beats are opened for this run, as for no other
            one; None: the test beats were not sealed.

        Raises:
          ConfigError: it cannot be recorded, so the test beats must not be scored.
          SealOpenedError: test beats of the database were opened for another run of the study.
        """
        values = EventValues(
            event="begin",
            time=_now(),
            test_set=test_set,
            test_sha256=test_sha256,
            database=database,
            **asdict(run),
        )
        with self._held():
            if study is not None:
                values["study"] = study
                _check_first(self.events(), values)
            self._append(values)

    def end(self, run: EvaluatedRun, *, test_set: str, predictions: str) -> Count:
        """Record that an evaluation has ended, and return its place.

        Args:
          run: the run that began it.
          test_set: as in `begin`.
          predictions: digest of the predicted classes.

        Raises:
          ConfigError: it cannot be recorded.
        """
        values = EventValues(
            event="end",
            time=_now(),
            id=run.id,
            test_set=test_set,
            configuration=run.configuration,
            predictions=predictions,
        )
        with self._held():
            self._append(values)
            return count(self.events(), run, test_set=test_set, predictions=predictions)

    def events(self) -> list[EventValues]:
        """Return all complete lines.

        Raises:
          DataError: one is damaged.
        """
        try:
            return read_lines(self.file, EventValues, fix=_FIX)
        except MissingFileError:
            return []

    @contextmanager
    def _held(self) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with FileLock(self._folder / f".{NAME}.lock", timeout=_LOCK_S):
                cut_torn_line(self.file)
                yield
        except SealOpenedError:
            raise
        except (OSError, Timeout, DataError) as error:
            raise ConfigError(
                f"{self.file}: the evaluation of the test beats cannot be recorded there "
                f"({error}); use a writable folder, set by tracking.uri= or ECGEXP_PRIVATE=, or "
                "evaluate_on=[validation]"
            ) from error

    def _append(self, values: EventValues | None) -> None:
        if values is None:
            self.events()
        line = b"" if values is None else json.dumps(values, ensure_ascii=False).encode() + b"\n"
        handle = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | NO_LINK, 0o600)
        try:
            os.write(handle, line)
            os.fsync(handle)
        finally:
            os.close(handle)


def _check_first(events: Sequence[EventValues], own: EventValues) -> None:
    for event in events:
        if (
            event["event"] == "begin"
            and event.get("study") == own.get("study")
            and event.get("database") == own.get("database")
            and event["id"] != own["id"]
        ):
            day = datetime.fromtimestamp(event["time"], UTC).strftime("%Y-%m-%d %H:%M UTC")
            raise SealOpenedError(
                f"the sealed test beats of the study {own.get('study')} were opened on {day} for "
                f"{event.get('name')} ({event.get('run_dir')}), and are opened for one run; use "
                "its result, or run this configuration with test=open, which is counted as "
                "another evaluation"
            )


def count(
    events: Sequence[EventValues], run: EvaluatedRun, *, test_set: str, predictions: str
) -> Count:
    """Return the place of an evaluation that has ended.

    Evaluations with the same configuration and the same predicted classes are one. One that has
    begun and not ended is one of its own, because its scores may have been seen.

    Args:
      events: all lines of the log.
      run: the run.
      test_set: digest that identifies the test set.
      predictions: digest of its predicted classes.
    """
    first: dict[tuple[str, str], str] = {}
    for key, of in _looks([event for event in events if event["test_set"] == test_set]):
        first.setdefault(key, of)
    own = (run.configuration, predictions)
    number = list(first).index(own) + 1
    return Count(number=number, evaluations=len(first), is_repeat=first[own] != run.id)


def evaluations_of(events: Sequence[EventValues]) -> dict[str, int]:
    """Return test set -> number of its evaluations.

    Args:
      events: all lines of the log.
    """
    of_set: dict[str, list[EventValues]] = {}
    for event in events:
        of_set.setdefault(event["test_set"], []).append(event)
    return {one: len({key for key, _ in _looks(its)}) for one, its in of_set.items()}


def _looks(events: Sequence[EventValues]) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield (what was seen, id of the run) in the order in which evaluations began."""
    ends: dict[str, list[tuple[str, str]]] = {}
    for event in events:
        if event["event"] == "end":
            ends.setdefault(event["id"], []).append(
                (event["configuration"], event.get("predictions", ""))
            )
    for event in events:
        if event["event"] == "begin":
            for key in ends.get(event["id"], [("unfinished", event["id"])]):
                yield key, event["id"]


def _now() -> float:
    return round(time.time(), 3)
