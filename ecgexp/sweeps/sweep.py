"""A sweep as its jobs see it: folders, attempts, finished jobs and budget.

`outputs/NAME/sweeps/DIGEST/` is the folder of the sweep, the same for the same overrides:
    attempts/*.json     every attempt at every job (`attempts`)
    parent/             the run folder of the parent run
`outputs/NAME/TIME_sweep/` is the folder of one invocation, created by Hydra:
    sweep.json          which sweep it belongs to, read by the jobs in their processes
    jobs/NUMBER.json    outcome of each job
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from typing_extensions import TypedDict

from ecgexp.config.sweep_settings import SweepSettings
from ecgexp.formatting import epsilon_text
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.search_accounting import compose_epsilon
from ecgexp.privacy.spent import PrivacySpent
from ecgexp.settings.declaration import ConfigError, DataError, build
from ecgexp.storage.atomic import replacing
from ecgexp.storage.reading import MissingFileError, read_json
from ecgexp.sweeps.attempts import Attempt, Attempts
from ecgexp.sweeps.identity import code_digest, job_digest, sweep_digest
from ecgexp.sweeps.spent import spent_by_sweep
from ecgexp.tracking.local.result import Result
from ecgexp.tracking.local.run_json import has_finished
from ecgexp.training.checkpointing.manager import has_training_state

_ID = 12
_NUMBER = re.compile(r"[0-9]{1,9}")
POINTER = "sweep.json"

Outcome = Literal["ran", "kept", "refused"]


class Pointer(TypedDict):
    """`sweep.json` of an invocation; see `Sweep`."""

    home: str
    typed: list[str]
    planned: list[str] | None
    parent_id: str | None
    settings: dict[str, Any]
    private_dir: str | None


class OutcomeValues(TypedDict):
    """`jobs/NUMBER.json`: the outcome of a job."""

    name: str
    digest: str
    outcome: Outcome
    reason: str | None


def read_pointer(invocation: Path) -> Pointer:
    """Read which sweep an invocation belongs to.

    Args:
      invocation: folder of the invocation.

    Returns:
      Content of its `sweep.json`.

    Raises:
      MissingFileError: the folder is not that of an invocation.
      DataError: the file is damaged.
    """
    return read_json(
        invocation / POINTER,
        Pointer,
        fix="restore the file from a copy, or use another hydra.sweep.dir=",
    )


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One invocation of a sweep, the same in each of its processes.

    Attributes:
      invocation: folder of this invocation.
      home: folder of the sweep.
      typed: overrides of the sweep as typed.
      planned: names of the jobs, in order; None if a sweeper chooses them one after another.
      parent_id: MLflow run of the parent; None without MLflow.
      settings: settings under `sweep.`.
      private_dir: private folder of the store of the runs; None: no record of a store is read.
    """

    invocation: Path
    home: Path
    typed: tuple[str, ...]
    planned: tuple[str, ...] | None
    parent_id: str | None
    settings: SweepSettings
    private_dir: Path | None = None

    @classmethod
    def open(
        cls,
        invocation: Path,
        typed: Sequence[str],
        planned: Sequence[str] | None,
        settings: SweepSettings,
    ) -> "Sweep":
        """Begin a new invocation of the sweep with these overrides; it has no parent run yet.

        Args:
          invocation: folder of the invocation.
          typed: overrides of the sweep as typed.
          planned: names of the jobs; None if a sweeper chooses them.
          settings: settings under `sweep.`.
        """
        home = invocation.parent / "sweeps" / sweep_digest(typed)[:_ID]
        return cls(
            invocation=invocation.absolute(),
            home=home.absolute(),
            typed=tuple(typed),
            parent_id=None,
            settings=settings,
            planned=None if planned is None else tuple(planned),
        )

    @classmethod
    def join(cls, invocation: Path) -> "Sweep":
        """Return the sweep that the main process opened in a folder.

        Args:
          invocation: folder of the invocation.

        Raises:
          ConfigError: there is none, for example on a machine that does not share the folder.
          DataError: `sweep.json` is damaged.
        """
        try:
            values = read_pointer(invocation)
        except MissingFileError as error:
            raise ConfigError(
                f"hydra.sweep.dir: {invocation / POINTER} is missing, because the machines of the "
                "sweep do not share the folder; use a folder that they share."
            ) from error
        return cls(
            invocation=invocation.absolute(),
            home=Path(values["home"]),
            typed=tuple(values["typed"]),
            planned=None if values["planned"] is None else tuple(values["planned"]),
            parent_id=values["parent_id"],
            settings=build(SweepSettings, values["settings"], path="sweep"),
            private_dir=None if values["private_dir"] is None else Path(values["private_dir"]),
        )

    def with_parent(self, parent_id: str | None, *, private_dir: Path | None = None) -> "Sweep":
        """Set the parent run and write `sweep.json`, which the jobs read.

        Args:
          parent_id: MLflow run of the parent; None without MLflow.
          private_dir: private folder of the store, the same as that of the jobs.

        Returns:
          The sweep with its parent run.
        """
        sweep = replace(
            self,
            parent_id=parent_id,
            private_dir=None if private_dir is None else private_dir.absolute(),
        )
        values = {
            "home": str(self.home),
            "typed": list(self.typed),
            "planned": None if self.planned is None else list(self.planned),
            "parent_id": parent_id,
            "settings": asdict(self.settings),
            "private_dir": None if sweep.private_dir is None else str(sweep.private_dir),
        }
        self.invocation.mkdir(parents=True, exist_ok=True)
        _write(self.invocation / POINTER, values)
        return sweep

    @property
    def attempts(self) -> Attempts:
        """Record of every attempt at every job."""
        return Attempts(self.home / "attempts")

    @property
    def parent_dir(self) -> Path:
        """Folder of the parent run."""
        return self.home / "parent"

    def outcomes(self) -> dict[int, OutcomeValues]:
        """Read the outcomes of the jobs that this invocation has reached.

        Returns:
          Job number -> name, digest and outcome. A job whose file is damaged has an empty digest,
          and the reason names the file.
        """
        found = {}
        for path in sorted((self.invocation / "jobs").glob("*.json")):
            if not _NUMBER.fullmatch(path.stem):
                continue
            number = int(path.stem)
            try:
                found[number] = read_json(path, OutcomeValues, fix="use the same command again")
            except DataError as error:
                planned = self.planned or ()
                name = planned[number] if number < len(planned) else path.stem
                found[number] = OutcomeValues(
                    name=name, digest="", outcome="ran", reason=str(error)
                )
        return found

    def note(
        self, number: int, name: str, digest: str, outcome: Outcome, reason: str | None = None
    ) -> None:
        """Write the outcome of a job in this invocation.

        Args:
          number: number of the job.
          name: name of the job.
          digest: digest of the job.
          outcome: `ran`, `kept` (finished before) or `refused`.
          reason: why it was refused or failed before it could start.
        """
        folder = self.invocation / "jobs"
        folder.mkdir(parents=True, exist_ok=True)
        _write(
            folder / f"{number}.json",
            {"name": name, "digest": digest, "outcome": outcome, "reason": reason},
        )

    def digest_of(self, values: Mapping[str, Any]) -> str:
        """Compute the digest of a job with the present code.

        Args:
          values: resolved configuration of the job.
        """
        return job_digest(values, code_digest())

    def kept(self, digest: str, data_digest: Callable[[], str]) -> Attempt | None:
        """Find a finished attempt at a job, in this sweep or another one of the same experiment.

        Args:
          digest: digest of the job.
          data_digest: reads the beats and returns their keyed digest; only called if there is a
            candidate.

        Returns:
          The attempt; None: the job must run.
        """
        if self.settings.rerun:
            return None
        own = self.attempts.all()
        others = [
            Attempts(folder)
            for folder in sorted(self.home.parent.glob("*/attempts"))
            if folder.parent != self.home
        ]
        for attempt in [*reversed(own), *(attempt for known in others for attempt in known.all())]:
            if (
                attempt.digest == digest
                and attempt.is_kept
                and attempt.data_digest == data_digest()
            ):
                if attempt not in own:
                    attempt = replace(attempt, first=attempt.first or attempt.run_dir)
                    self.attempts.write(attempt)
                return attempt
        return None

    def unfinished(self, digest: str) -> Attempt | None:
        """Find an interrupted attempt at a job that can be resumed.

        Args:
          digest: digest of the job.

        Returns:
          The last attempt, if it did not finish and left a training state; else None.
        """
        tried = [attempt for attempt in self.attempts.all() if attempt.digest == digest]
        if (
            not tried
            or self.settings.rerun
            or tried[-1].is_running
            or tried[-1].status == "FINISHED"
        ):
            return None
        return tried[-1] if has_training_state(Path(tried[-1].run_dir)) else None

    def ended(self, digest: str) -> list[Attempt]:
        """List attempts whose run finished, but whose process ended before it recorded this.

        Args:
          digest: digest of the job.
        """
        tried = [attempt for attempt in self.attempts.all() if attempt.digest == digest]
        return [
            attempt
            for attempt in tried
            if attempt.status != "FINISHED"
            and not attempt.is_running
            and has_finished(Path(attempt.run_dir))
        ]

    def adopt(self, attempt: Attempt, result: Result) -> None:
        """Record that an attempt has finished.

        Args:
          attempt: an attempt from `ended`.
          result: result in the attempt's run folder.
        """
        _Running(self, attempt).finish(result)

    def replaced(self, digest: str) -> list[Attempt]:
        """List attempts that are superseded: not finished, and their process has ended.

        Args:
          digest: digest of the job.
        """
        tried = [attempt for attempt in self.attempts.all() if attempt.digest == digest]
        return [
            attempt for attempt in tried if attempt.status != "FINISHED" and not attempt.is_running
        ]

    @contextmanager
    def attempt(self, attempt: Attempt) -> "Iterator[_Running]":
        """Record the attempt while the block runs, and its status at the end.

        Args:
          attempt: attempt to record.

        Yields:
          The running attempt.

        Raises:
          ConfigError: another running process is executing the same job.
        """
        with self._lock():
            known = [other for other in self.attempts.all() if other.digest == attempt.digest]
            running = [other for other in known if other.is_running]
            if running:
                raise ConfigError(
                    f"{attempt.name}: process {running[0].process['process.pid']} is running this "
                    f"job in {running[0].run_dir}; wait until it "
                    "has finished, or end it, and use the same command again."
                )
            resumed = [
                other
                for other in known
                if other.run_dir == attempt.run_dir and other.status != "FINISHED"
            ]
            if resumed and has_training_state(Path(attempt.run_dir)):
                attempt = replace(attempt, id=resumed[-1].id)
            attempt = self.attempts.write(attempt)
        record = _Running(self, attempt)
        try:
            yield record
        except BaseException as error:
            status = "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED"
            record.update(
                status="REFUSED" if record.over_budget else status,
                reason=f"{type(error).__name__}: {error}",
            )
            raise

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.home.mkdir(parents=True, exist_ok=True)
        with FileLock(self.home / ".lock"):
            yield


class _Running:
    """An attempt that is running.

    Args:
      sweep: the sweep of the job.
      attempt: state of the attempt.
    """

    def __init__(self, sweep: Sweep, attempt: Attempt):
        self._sweep, self._attempt = sweep, attempt
        self.over_budget = False

    def update(self, **changes: Any) -> None:
        """Record changed fields of the attempt.

        Args:
          **changes: fields of `Attempt`.
        """
        self._attempt = self._sweep.attempts.write(replace(self._attempt, **changes))

    def admit(self, ledger: Ledger, data_digest: str) -> None:
        """Record the largest privacy loss that the job may cause, before its first step.

        **Guarantees**: the sweep's lock is held from the check of the budget until the loss is
        recorded, so jobs that start at the same time cannot exceed the budget together
        (`tests/unit/sweeps/test_sweep.py`).

        Args:
          ledger: ledger of the run; all planned steps and all recorded events count.
          data_digest: keyed digest of the beats.

        Raises:
          ConfigError: the loss would exceed `sweep.budget_epsilon`.
        """
        spent = PrivacySpent.of(ledger).at_least(self._attempt.spent)
        with self._sweep._lock():
            self._check_budget(spent)
            self.update(spent=spent, data_digest=data_digest)

    def finish(self, result: Result) -> None:
        """Record a finished run and its executed privacy event instead of the reserved one.

        Args:
          result: result of the run.
        """
        spent = self._attempt.spent
        if spent is not None and result.privacy is not None and "event" in result.privacy:
            spent = replace(spent, event=result.privacy["event"])
        self.update(
            status="FINISHED",
            spent=spent,
            run_id=result.run_id,
            seconds=result.seconds,
            metrics=result.metrics,
        )

    def _check_budget(self, spent: PrivacySpent) -> None:
        budget = self._sweep.settings.budget_epsilon
        if budget is None:
            return
        if damaged := self._sweep.attempts.damaged:
            self.over_budget = True
            raise ConfigError(
                f"sweep.budget_epsilon={budget:g}: the privacy loss of an earlier attempt is "
                f"unknown, because {damaged[0]} is damaged; restore the file, or use "
                "sweep.budget_epsilon=null."
            )
        known = spent_by_sweep(self._sweep.home, self._sweep.private_dir).losses
        before = [
            loss
            for loss in known
            if self._attempt.spent is not None and loss.run_dir == self._attempt.run_dir
        ]
        own = before[-1:]  # an earlier start of this attempt, which is resumed
        earlier = [loss.spent for loss in known if loss not in own]
        try:
            already_spent = _bounded([*earlier, *(loss.spent for loss in own)], budget)
            required = _bounded([*earlier, spent.at_least(own[0].spent if own else None)], budget)
        except ValueError as error:
            self.over_budget = True
            raise ConfigError(
                f"sweep.budget_epsilon={budget:g}: {error}; use one kind of privacy guarantee in a "
                "sweep."
            ) from error
        if required > budget:
            self.over_budget = True
            why = (
                "the job has no privacy guarantee"
                if not spent.has_privacy_guarantee
                else f"with this job it would be {epsilon_text(required, digits=4)}"
            )
            raise ConfigError(
                f"sweep.budget_epsilon={budget:g}: the {len(earlier) + len(own)} earlier runs of "
                f"this sweep have a privacy loss of up to {epsilon_text(already_spent, digits=4)}, "
                f"and {why}; use more noise, fewer jobs or a larger budget."
            )


def _bounded(all_spent: Sequence[PrivacySpent], budget: float) -> float:
    """Compose ε of all losses; the faster RDP accountant suffices if its bound is in the budget."""
    try:
        epsilon_rdp = compose_epsilon(all_spent, accountant="rdp")
    except ConfigError:
        epsilon_rdp = math.inf
    return epsilon_rdp if epsilon_rdp <= budget else compose_epsilon(all_spent)


def _write(path: Path, values: Mapping[str, Any]) -> None:
    with replacing(path) as part:
        part.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
