"""The record of every attempt at every job of a sweep, one file per attempt.

A file is written before the attempt starts, replaced when it ends, and never deleted. A process
that replaces a file may know less than the file says, for example after a restart. Therefore a
recorded privacy loss is never replaced by a smaller one.
"""

import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from filelock import FileLock
from pydantic import Field
from typing_extensions import TypedDict

from ecgexp.privacy.recorded_losses import settle
from ecgexp.privacy.spent import PrivacySpent
from ecgexp.storage.atomic import replacing
from ecgexp.storage.reading import read_json
from ecgexp.tracking.local.artifact_files import plain
from ecgexp.tracking.local.result import is_kept
from ecgexp.tracking.local.run_json import has_finished
from ecgexp.tracking.provenance import NO_STATUS, has_ended, is_running, process_tags

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED", "REFUSED", "PRUNED"]

_ID = 16


class AttemptValues(TypedDict):
    """Content of an attempt's file; see `Attempt`."""

    digest: str
    name: str
    command: str
    run_dir: str
    status: Status
    process: dict[str, str]
    run_id: str | None
    reason: str | None
    seconds: Annotated[float, Field(ge=0)]
    metrics: dict[str, float | None]
    data_digest: str | None
    spent: dict[str, Any] | None
    before: dict[str, Any] | None
    first: str | None
    id: str
    start: str


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt at a job.

    An attempt that is resumed keeps its `id`; each process that works on it is one start.

    Attributes:
      digest: digest of the settings and the code that determine the job's result; see
        `identity.job_digest`.
      name: name of the job for users.
      command: command that runs this job alone.
      run_dir: folder of the run.
      status: last recorded status; a `RUNNING` attempt whose process has ended was interrupted.
      process: tags of the process that runs it; see `tracking.provenance.process_tags`.
      run_id: MLflow run; None without MLflow.
      reason: why it did not finish.
      seconds: wall-clock time.
      metrics: final metrics.
      data_digest: keyed digest of its beats; None before they are read.
      spent: privacy loss of one unit over all starts; an upper bound until the attempt finishes.
        None if training never began, or if the run neither is private nor has a guarantee.
      before: upper bound of the privacy loss of earlier starts; never decreases.
      first: folder of the run that finished this job in an earlier sweep; None if it ran here.
      id: identifier of the attempt, the same for all starts.
      start: identifier of the start that wrote the file last.
    """

    digest: str
    name: str
    command: str
    run_dir: str
    status: Status = "RUNNING"
    process: Mapping[str, str] = field(default_factory=process_tags)
    run_id: str | None = None
    reason: str | None = None
    seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    data_digest: str | None = None
    spent: PrivacySpent | None = None
    before: PrivacySpent | None = None
    first: str | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    start: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def is_running(self) -> bool:
        """Whether its process is running, as far as this machine can tell."""
        return self.status == "RUNNING" and is_running(self.process)

    @property
    def interrupted(self) -> bool:
        """Whether its status is `RUNNING` although its process, one of this machine, has ended."""
        return self.status == "RUNNING" and has_ended(self.process)

    @property
    def is_kept(self) -> bool:
        """Whether it finished and its result is still in its folder."""
        return self.status == "FINISHED" and is_kept(Path(self.run_dir))

    def after(self, known: "Attempt | None") -> "Attempt":
        """Combine this state with the recorded one, so that no recorded loss or digest is lost.

        Args:
          known: recorded state; None: nothing is recorded.

        Returns:
          This state, with a privacy loss of at least the recorded one.
        """
        if known is None:
            return self
        spent, before = settle(
            self.spent,
            self.before,
            known.spent,
            known.before,
            own=self.start == known.start,
            final=self.status == "FINISHED",
        )
        digest = known.data_digest if self.data_digest is None else self.data_digest
        return replace(self, spent=spent, before=before, data_digest=digest)


class Attempts:
    """The attempts of one sweep.

    **Guarantees**: processes that write at the same time see each other's records, and the privacy
    loss of an attempt is at least what any of its earlier starts had recorded
    (`tests/unit/sweeps/test_attempts.py`).

    Args:
      folder: folder with one file per attempt; created with the first file.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def write(self, attempt: Attempt) -> Attempt:
        """Write the attempt's file atomically.

        Args:
          attempt: its current state.

        Returns:
          The recorded state, which includes the loss recorded before; see `Attempt.after`.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / ".lock"):
            path, known = self._on_record(attempt)
            attempt = attempt.after(known)
            with replacing(path) as part:
                part.write_text(
                    json.dumps(plain(asdict(attempt)), indent=2, ensure_ascii=False) + "\n",
                    encoding="utf-8",
                )
        return attempt

    def close_interrupted(self, attempts: Iterable[Attempt]) -> None:
        """Record that interrupted attempts were killed; others stay as they are.

        **Guarantees**: they keep their recorded privacy loss, that of all planned steps, for the
        steps that were taken are not known (`tests/unit/sweeps/test_attempts.py`).

        Args:
          attempts: attempts that no later start continues.
        """
        for attempt in attempts:
            if attempt.interrupted:
                self.write(replace(attempt, status="KILLED", reason=NO_STATUS))

    def all(self) -> list[Attempt]:
        """Return all attempts whose file is readable, in the order in which they were created."""
        return [attempt for attempt in map(_read, self._files()) if attempt is not None]

    @property
    def damaged(self) -> list[Path]:
        """Files that cannot be read; the privacy loss of these attempts is unknown."""
        return [path for path in self._files() if _read(path) is None]

    def latest(self) -> list[Attempt]:
        """Return the last attempt at each job, in the order of the first attempts."""
        last: dict[str, Attempt] = {}
        for attempt in self.all():
            last[attempt.digest] = attempt
        return list(last.values())

    def ended(self, digest: str) -> list[Attempt]:
        """List attempts whose run finished, but whose process ended before it recorded this.

        Args:
          digest: digest of the job.
        """
        tried = [attempt for attempt in self.all() if attempt.digest == digest]
        return [
            attempt
            for attempt in tried
            if attempt.status != "FINISHED"
            and not attempt.is_running
            and has_finished(Path(attempt.run_dir))
        ]

    def replaced(self, digest: str) -> list[Attempt]:
        """List attempts that are superseded: not finished, and their process has ended.

        Args:
          digest: digest of the job.
        """
        tried = [attempt for attempt in self.all() if attempt.digest == digest]
        return [
            attempt for attempt in tried if attempt.status != "FINISHED" and not attempt.is_running
        ]

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.json"))

    def _on_record(self, attempt: Attempt) -> tuple[Path, Attempt | None]:
        job = attempt.digest[:_ID]
        for path in self._folder.glob(f"*-{job}.json"):
            known = _read(path)
            if known is not None and known.id == attempt.id:
                return path, known
        numbers = [
            int(found[0]) for path in self._files() if (found := re.match(r"\d+", path.name))
        ]
        return (
            self._folder / f"{max(numbers, default=0) + 1:05d}-{os.getpid():07d}-{job}.json",
            None,
        )


def _read(path: Path) -> Attempt | None:
    """Read the attempt in `path`; None if the file is damaged."""
    try:
        values: dict[str, Any] = dict(
            read_json(path, AttemptValues, fix="restore the file from a copy")
        )
        metrics = {
            name: value for name, value in values.pop("metrics").items() if value is not None
        }
        all_spent = {name: values.pop(name) for name in ("spent", "before")}
        read: dict[str, Any] = {
            name: None if spent is None else PrivacySpent.from_json(spent)
            for name, spent in all_spent.items()
        }
        known = {name: values[name] for name in Attempt.__dataclass_fields__ if name in values}
        return Attempt(**known, metrics=metrics, **read)
    except ValueError:  # DataError, or an invalid privacy loss
        return None
