"""Every attempt at every job of a sweep, one small file each: written before it starts, replaced when it ends, never deleted.

Whoever replaces a file may know less than it says, as an attempt does that was just begun again. So nothing that is on record
of what a job did to privacy is ever replaced by less.
"""

import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from filelock import FileLock
from pydantic import Field
from typing_extensions import TypedDict

from ecgexp.privacy.recorded_losses import settle
from ecgexp.privacy.search_accounting import PrivacySpent
from ecgexp.storage.atomic import replacing
from ecgexp.storage.reading import read_json
from ecgexp.tracking.local.artifact_files import plain
from ecgexp.tracking.local.result import is_kept
from ecgexp.tracking.provenance import is_running, process_tags

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED", "REFUSED"]

_ID = 16


class AttemptValues(TypedDict):
    """An attempt's file; see `Attempt`."""

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
    """One try at a job.

    Attributes:
      digest: of what decides the job's result; see `identity.job_digest`.
      name: by which people know it.
      command: what runs this job alone.
      run_dir: the run's folder.
      status: how it stands; a `RUNNING` attempt whose process is gone was interrupted.
      process: which process makes it.
      run_id: in MLflow; None without one.
      reason: why it did not finish.
      seconds: it took.
      metrics: its final metrics.
      data_digest: keyed digest of its beats; None before they were read.
      spent: what it did to a unit of privacy, or may have done if it did not finish; None if it never began to train, or
        promised nothing and had no privacy either. Over all starts of the attempt: it grows when the attempt is resumed.
      before: what its earlier starts may have done; never less.
      first: the run's folder of the sweep that finished this job before; None for a job that ran here.
      id: of the attempt, over all of its starts.
      start: of the process that wrote it last.
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
        """Whether its process still works on it, as far as this machine can tell."""
        return self.status == "RUNNING" and is_running(self.process)

    @property
    def interrupted(self) -> bool:
        """Whether it says RUNNING and nobody works on it."""
        return self.status == "RUNNING" and not self.is_running

    @property
    def is_kept(self) -> bool:
        """Whether it finished and its result still lies in its folder."""
        return self.status == "FINISHED" and is_kept(Path(self.run_dir))

    def after(self, known: "Attempt | None") -> "Attempt":
        """This state of the attempt, given the one on record: no privacy loss and no digest on record is forgotten."""
        if known is None:
            return self
        spent, before = settle(
            self.spent, self.before, known.spent, known.before, own=self.start == known.start,
            final=self.status == "FINISHED",
        )  # fmt: skip
        digest = known.data_digest if self.data_digest is None else self.data_digest
        return replace(self, spent=spent, before=before, data_digest=digest)


class Attempts:
    """The attempts of one sweep.

    **Guarantees**: of processes that write at once each sees what the others wrote, and the charge of an attempt is at least
    what any of its earlier starts had on record (`tests/unit/sweeps/test_attempts.py`).

    Args:
      folder: one file an attempt; made when the first is written.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def write(self, attempt: Attempt) -> Attempt:
        """Writes the attempt's file, whole or not at all, and returns what it says: no less than before."""
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

    def all(self) -> list[Attempt]:
        """Every attempt, in the order of their first writing, but for those whose file is damaged."""
        return [attempt for attempt in map(_read, self._files()) if attempt is not None]

    @property
    def damaged(self) -> list[Path]:
        """Files that cannot be read: attempts that may have lost any privacy."""
        return [path for path in self._files() if _read(path) is None]

    def latest(self) -> list[Attempt]:
        """The last attempt at each job, in the order in which the jobs were first tried."""
        last: dict[str, Attempt] = {}
        for attempt in self.all():
            last[attempt.digest] = attempt
        return list(last.values())

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
    """The attempt in `path`; None where the file is damaged."""
    try:
        values = dict(read_json(path, AttemptValues, fix="restore the file from a copy"))
        metrics = {
            name: value for name, value in values.pop("metrics").items() if value is not None
        }
        all_spent = {name: values.pop(name) for name in ("spent", "before")}
        read = {
            name: None if spent is None else PrivacySpent.from_json(spent)
            for name, spent in all_spent.items()
        }
        known = {name: values[name] for name in Attempt.__dataclass_fields__ if name in values}
        return Attempt(**known, metrics=metrics, **read)
    except ValueError:  # DataError, or what is no charge
        return None
