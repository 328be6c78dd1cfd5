"""Every try at every job of a sweep, one small file each: written before it starts, replaced when it ends, never deleted."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from ecgexp._files import replacing
from ecgexp.privacy.search import Charge
from ecgexp.tracking.files import plain
from ecgexp.tracking.provenance import is_running, process_tags

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED", "REFUSED"]

_ID = 16


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
      charge: what it did to a unit of privacy, or may have done if it did not finish; None if it never began to train, or
        promised nothing and had no privacy either.
      first: the run's folder of the sweep that finished this job before; None for a job that ran here.
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
    charge: Charge | None = None
    first: str | None = None

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
        return self.status == "FINISHED" and _finished(Path(self.run_dir) / "result.json")


class Attempts:
    """The attempts of one sweep.

    Args:
      folder: one file an attempt; made when the first is written.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def write(self, attempt: Attempt) -> None:
        """Writes the attempt's file, whole or not at all; an attempt is known by its job and its run's folder."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(attempt)
        with replacing(path) as part:
            part.write_text(json.dumps(plain(asdict(attempt)), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def all(self) -> list[Attempt]:
        """Every attempt, in the order of their first writing."""
        return [_read(path) for path in sorted(self._folder.glob("*.json"))]

    def latest(self) -> list[Attempt]:
        """The last attempt at each job, in the order in which the jobs were first tried."""
        last: dict[str, Attempt] = {}
        for attempt in self.all():
            last[attempt.digest] = attempt
        return list(last.values())

    def _path(self, attempt: Attempt) -> Path:
        known = f"{attempt.digest[:_ID]}"
        for path in self._folder.glob(f"*-{known}.json"):
            if json.loads(path.read_text(encoding="utf-8"))["run_dir"] == attempt.run_dir:
                return path
        return self._folder / f"{_next_number(self._folder):05d}-{os.getpid():07d}-{known}.json"


def _next_number(folder: Path) -> int:
    return max((int(path.name[:5]) for path in folder.glob("*.json")), default=0) + 1


def _read(path: Path) -> Attempt:
    values = json.loads(path.read_text(encoding="utf-8"))
    charge = values.pop("charge")
    metrics = {name: value for name, value in values.pop("metrics").items() if value is not None}
    return Attempt(**values, metrics=metrics, charge=None if charge is None else Charge(**charge))


def _finished(result: Path) -> bool:
    try:
        return json.loads(result.read_text(encoding="utf-8"))["status"] == "FINISHED"
    except (OSError, ValueError, KeyError):
        return False
