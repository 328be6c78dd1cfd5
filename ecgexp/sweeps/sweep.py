"""A sweep as its jobs see it: folders, attempts, finished jobs and budget.

`outputs/NAME/sweeps/DIGEST/` is the folder of the sweep, the same for the same overrides:
    attempts/*.json     every attempt at every job (`attempts`)
    parent/             the run folder of the parent run
    search.journal      trials of a search, unless `hydra.sweeper.storage` names another place
`outputs/NAME/TIME_sweep/` is the folder of one invocation (`invocation`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from ecgexp.config.sweep_settings import SweepSettings
from ecgexp.settings.declaration import ConfigError, build
from ecgexp.storage.reading import MissingFileError
from ecgexp.sweeps.attempts import Attempt, Attempts
from ecgexp.sweeps.identity import code_digest, job_digest, sweep_digest
from ecgexp.sweeps.invocation import (
    POINTER,
    Outcome,
    OutcomeValues,
    Pointer,
    read_num_trials,
    read_outcomes,
    read_pointer,
    write_outcome,
    write_pointer,
)
from ecgexp.sweeps.running import RunningAttempt
from ecgexp.tracking.local.checkpoint_folder import kept_steps
from ecgexp.tracking.local.result import Result
from ecgexp.training.checkpointing.manager import has_training_state

_ID = 12


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
        pointer = Pointer(
            home=str(self.home),
            typed=list(self.typed),
            planned=None if self.planned is None else list(self.planned),
            parent_id=parent_id,
            settings=asdict(self.settings),
            private_dir=None if sweep.private_dir is None else str(sweep.private_dir),
        )
        write_pointer(self.invocation, pointer)
        return sweep

    @property
    def attempts(self) -> Attempts:
        """Record of every attempt at every job."""
        return Attempts(self.home / "attempts")

    @property
    def parent_dir(self) -> Path:
        """Folder of the parent run."""
        return self.home / "parent"

    @property
    def num_jobs(self) -> int | None:
        """Number of jobs of this invocation; None for a search that has not begun."""
        return read_num_trials(self.invocation) if self.planned is None else len(self.planned)

    def outcomes(self) -> dict[int, OutcomeValues]:
        """Read the outcomes of the jobs that this invocation has reached; see `read_outcomes`."""
        return read_outcomes(self.invocation, self.planned or ())

    def note(
        self,
        number: int,
        name: str,
        digest: str,
        outcome: Outcome,
        reason: str | None = None,
        *,
        begins: str | None = None,
    ) -> None:
        """Write the outcome of a job in this invocation.

        Args:
          number: number of the job.
          name: name of the job.
          digest: digest of the job.
          outcome: `ran`, `kept` (finished before) or `refused`.
          reason: why it was refused or failed before it could start.
          begins: how a job that was tried before begins; see `how_it_begins`.
        """
        values = OutcomeValues(name=name, digest=digest, outcome=outcome, reason=reason)
        if outcome == "ran":
            starts = [attempt.start for attempt in self.attempts.all() if attempt.digest == digest]
            values["earlier_start"] = starts[-1] if starts else None
            values["begins"] = begins
        write_outcome(self.invocation, number, values)

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

    def pruned(self, digest: str, data_digest: Callable[[], str]) -> Attempt | None:
        """Find an attempt at a job that a search ended early.

        Args:
          digest: digest of the job.
          data_digest: reads the beats and returns their keyed digest; only called if there is a
            candidate.

        Returns:
          The attempt; None: the job must run.
        """
        if self.settings.rerun:
            return None
        for attempt in reversed(self.attempts.all()):
            if (
                attempt.digest == digest
                and attempt.status == "PRUNED"
                and attempt.data_digest == data_digest()
            ):
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

    def how_it_begins(
        self, name: str, digest: str, resumed: Attempt | None, *, steps: str
    ) -> str | None:
        """Say how a job that must run begins, if the sweep has tried it before.

        Args:
          name: name of the job.
          digest: digest of the job.
          resumed: its attempt that is resumed; None: it starts at the beginning.
          steps: what its trainer counts, `epoch` or `round`.

        Returns:
          e.g. `resumed at epoch 3`; None for a job that was never tried.
        """
        if resumed is not None:
            return f"resumed at {steps} {(kept_steps(Path(resumed.run_dir)) or 0) + 1}"
        tried = [attempt for attempt in self.attempts.all() if attempt.name == name]
        if not tried:
            return None
        same = [attempt for attempt in tried if attempt.digest == digest]
        if self.settings.rerun:
            why = "sweep.rerun=true"
        elif not same:
            why = "the code or a version differs from the earlier attempt"
        elif any(attempt.status == "FINISHED" for attempt in same):
            why = "the finished run is gone, or its beats differ"
        else:
            why = "the earlier attempt kept nothing"
        return f"started anew ({why})"

    def adopt(self, attempt: Attempt, result: Result) -> None:
        """Record that an attempt has finished.

        Args:
          attempt: an attempt from `Attempts.ended`.
          result: result in the attempt's run folder.
        """
        RunningAttempt(self, attempt).finish(result)

    @contextmanager
    def attempt(self, attempt: Attempt) -> Iterator[RunningAttempt]:
        """Record the attempt while the block runs, and its status at the end.

        Earlier attempts at the job whose process was killed are closed.

        Args:
          attempt: attempt to record.

        Yields:
          The running attempt.

        Raises:
          ConfigError: another running process is executing the same job.
        """
        with self.lock():
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
            self.attempts.close_interrupted(other for other in known if other.id != attempt.id)
            attempt = self.attempts.write(attempt)
        record = RunningAttempt(self, attempt)
        try:
            yield record
        except BaseException as error:
            record.end(error)
            raise

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the sweep among all of its processes while the block runs."""
        self.home.mkdir(parents=True, exist_ok=True)
        with FileLock(self.home / ".lock"):
            yield
