"""One sweep: its folder, its parent run, and what each of its jobs asks before it starts and leaves when it ends.

`outputs/NAME/sweeps/DIGEST/` is the sweep itself, the same folder whenever the same overrides are typed:
    attempts/*.json     every try at every job (`attempts`)
    parent/             the parent run, as any run's folder
`outputs/NAME/TIME_sweep/` is one invocation, Hydra's folder:
    sweep.json          which sweep it is of, for the jobs, in whatever process they run
    jobs/NUMBER.json    what became of each job
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
from ecgexp.privacy.search_accounting import PrivacySpent, compose_epsilon
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
    """`jobs/NUMBER.json`: what became of a job."""

    name: str
    digest: str
    outcome: Outcome
    reason: str | None


def read_pointer(invocation: Path) -> Pointer:
    """Which sweep an invocation is of.

    Raises:
      MissingFileError: it is not the folder of a sweep's invocation.
      DataError: the file is damaged.
    """
    return read_json(
        invocation / POINTER,
        Pointer,
        fix="restore the file from a copy, or use another hydra.sweep.dir=",
    )


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One invocation of a sweep, as each of its processes sees it.

    Attributes:
      invocation: Hydra's folder of this invocation.
      home: the sweep's own folder.
      typed: its overrides as they were typed.
      planned: names of its jobs, in order; None where a sweeper makes them up as it goes.
      parent_id: of the parent run in MLflow; None without one.
      settings: of `sweep.`.
      private_dir: of the store in which the runs are; None: no store's record is asked.
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
        """The sweep of these overrides, in which a new invocation begins; it has no parent run yet."""
        home = invocation.parent / "sweeps" / sweep_digest(typed)[:_ID]
        return cls(
            invocation=invocation.absolute(), home=home.absolute(), typed=tuple(typed), parent_id=None, settings=settings,
            planned=None if planned is None else tuple(planned),
        )  # fmt: skip

    @classmethod
    def join(cls, invocation: Path) -> "Sweep":
        """The sweep that the main process opened in that folder.

        Raises:
          ConfigError: there is none, as on a machine that does not share the folder.
          DataError: its file is damaged.
        """
        try:
            values = read_pointer(invocation)
        except MissingFileError as error:
            raise ConfigError(
                f"{invocation / POINTER} is missing: the machines of a sweep must share the folder hydra.sweep.dir; name a "
                "shared one"
            ) from error
        return cls(
            invocation=invocation.absolute(), home=Path(values["home"]), typed=tuple(values["typed"]),
            planned=None if values["planned"] is None else tuple(values["planned"]), parent_id=values["parent_id"],
            settings=build(SweepSettings, values["settings"], path="sweep"),
            private_dir=None if values["private_dir"] is None else Path(values["private_dir"]),
        )  # fmt: skip

    def with_parent(self, parent_id: str | None, *, private_dir: Path | None = None) -> "Sweep":
        """This sweep, whose jobs become children of that run; written down for the jobs to read.

        Args:
          parent_id: in MLflow; None without one.
          private_dir: of the store, as the jobs have it.
        """
        sweep = replace(
            self,
            parent_id=parent_id,
            private_dir=None if private_dir is None else private_dir.absolute(),
        )
        values = {
            "home": str(self.home), "typed": list(self.typed), "planned": None if self.planned is None else list(self.planned),
            "parent_id": parent_id, "settings": asdict(self.settings),
            "private_dir": None if sweep.private_dir is None else str(sweep.private_dir),
        }  # fmt: skip
        self.invocation.mkdir(parents=True, exist_ok=True)
        _write(self.invocation / POINTER, values)
        return sweep

    @property
    def attempts(self) -> Attempts:
        """Every try at every job."""
        return Attempts(self.home / "attempts")

    @property
    def parent_dir(self) -> Path:
        """The parent run's folder."""
        return self.home / "parent"

    def outcomes(self) -> dict[int, OutcomeValues]:
        """Job number -> name, digest and outcome, for the jobs that this invocation has reached.

        What became of a job whose file is damaged is not known: it has no digest, and the reason names the file.
        """
        found = {}
        for path in sorted((self.invocation / "jobs").glob("*.json")):
            if not _NUMBER.fullmatch(path.stem):
                continue
            number = int(path.stem)
            try:
                found[number] = read_json(path, OutcomeValues, fix="use the same command again")
            except DataError as error:
                known = self.planned is not None and number < len(self.planned)
                name = self.planned[number] if known else path.stem
                found[number] = OutcomeValues(
                    name=name, digest="", outcome="ran", reason=str(error)
                )
        return found

    def note(
        self, number: int, name: str, digest: str, outcome: Outcome, reason: str | None = None
    ) -> None:
        """Writes down what becomes of a job in this invocation."""
        folder = self.invocation / "jobs"
        folder.mkdir(parents=True, exist_ok=True)
        _write(
            folder / f"{number}.json",
            {"name": name, "digest": digest, "outcome": outcome, "reason": reason},
        )

    def digest_of(self, values: Mapping[str, Any]) -> str:
        """Of the job with this resolved configuration, under the code as it is now."""
        return job_digest(values, code_digest())

    def kept(self, digest: str, data_digest: Callable[[], str]) -> Attempt | None:
        """The finished attempt at that job, in this sweep or another of the same experiment; None: it must run.

        Args:
          digest: of the job.
          data_digest: reads the beats and gives their keyed digest; only asked where there is a candidate.
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
        """The last attempt at that job, if it ended before its time and left a state of training to go on from."""
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
        """Attempts at that job whose run has finished, and whose process was killed before they said so."""
        tried = [attempt for attempt in self.attempts.all() if attempt.digest == digest]
        return [
            attempt
            for attempt in tried
            if attempt.status != "FINISHED"
            and not attempt.is_running
            and has_finished(Path(attempt.run_dir))
        ]

    def adopt(self, attempt: Attempt, result: Result) -> None:
        """Writes down that an attempt has finished, with the result that lies in its folder."""
        _Running(self, attempt).finish(result)

    def replaced(self, digest: str) -> list[Attempt]:
        """Attempts at that job that nobody goes on with: their process has ended, and no state of their training is left."""
        tried = [attempt for attempt in self.attempts.all() if attempt.digest == digest]
        return [
            attempt for attempt in tried if attempt.status != "FINISHED" and not attempt.is_running
        ]

    @contextmanager
    def attempt(self, attempt: Attempt) -> "Iterator[_Running]":
        """Writes the attempt down while the block runs, and how it ended.

        Raises:
          ConfigError: a living process is at work on the same job.
        """
        with self._lock():
            known = [other for other in self.attempts.all() if other.digest == attempt.digest]
            rivals = [other for other in known if other.is_running]
            if rivals:
                raise ConfigError(
                    f"{attempt.name} is being run by process {rivals[0].process['process.pid']} in {rivals[0].run_dir}; let it "
                    "finish, or end it, and type the same command again"
                )
            resumed = [
                other
                for other in known
                if other.run_dir == attempt.run_dir and other.status != "FINISHED"
            ]
            if resumed and has_training_state(Path(attempt.run_dir)):
                attempt = replace(attempt, id=resumed[-1].id)
            attempt = self.attempts.write(attempt)
        running = _Running(self, attempt)
        try:
            yield running
        except BaseException as error:
            status = "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED"
            running.update(
                status="REFUSED" if running.over_budget else status,
                reason=f"{type(error).__name__}: {error}",
            )
            raise

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.home.mkdir(parents=True, exist_ok=True)
        with FileLock(self.home / ".lock"):
            yield


class _Running:
    """An attempt under way."""

    def __init__(self, sweep: Sweep, attempt: Attempt):
        self._sweep, self._attempt = sweep, attempt
        self.over_budget = False

    def update(self, **changes: Any) -> None:
        """Writes down what has become known."""
        self._attempt = self._sweep.attempts.write(replace(self._attempt, **changes))

    def admit(self, ledger: Ledger, data_digest: str) -> None:
        """Charges the sweep for everything the job may do, before its first step.

        Raises:
          ConfigError: the sweep's budget does not allow it.
        """
        spent = PrivacySpent.of(ledger).at_least(self._attempt.spent)
        with self._sweep._lock():
            self._check_budget(spent)
            self.update(spent=spent, data_digest=data_digest)

    def finish(self, result: Result) -> None:
        """The end of a finished run: what this start of it had reserved is replaced by what it really did."""
        spent = self._attempt.spent
        if spent is not None and result.privacy is not None and "event" in result.privacy:
            spent = replace(spent, event=result.privacy["event"])
        self.update(
            status="FINISHED", spent=spent, run_id=result.run_id, seconds=result.seconds, metrics=result.metrics,
        )  # fmt: skip

    def _check_budget(self, spent: PrivacySpent) -> None:
        budget = self._sweep.settings.budget_epsilon
        if budget is None:
            return
        if damaged := self._sweep.attempts.damaged:
            self.over_budget = True
            raise ConfigError(
                f"sweep.budget_epsilon={budget:g}: what an earlier attempt of this sweep lost is unknown, because {damaged[0]} "
                "is damaged; restore the file, or use sweep.budget_epsilon=null"
            )
        known = spent_by_sweep(self._sweep.home, self._sweep.private_dir).losses
        before = [
            loss
            for loss in known
            if self._attempt.spent is not None and loss.run_dir == self._attempt.run_dir
        ]
        own = before[-1:]  # an earlier start of this very attempt, which goes on
        earlier = [loss.spent for loss in known if loss not in own]
        try:
            already_spent = _bounded([*earlier, *(loss.spent for loss in own)], budget)
            asked = _bounded([*earlier, spent.at_least(own[0].spent if own else None)], budget)
        except ValueError as error:
            self.over_budget = True
            raise ConfigError(
                f"sweep.budget_epsilon={budget:g} cannot be kept: {error}; sweep one kind of promise at a time"
            ) from error
        if asked > budget:
            self.over_budget = True
            why = (
                "the job makes no promise"
                if not spent.has_privacy_guarantee
                else f"with this job it would be {epsilon_text(asked, digits=4)}"
            )
            raise ConfigError(
                f"sweep.budget_epsilon={budget:g}: the {len(earlier) + len(own)} earlier runs of this sweep have a privacy loss "
                f"of up to {epsilon_text(already_spent, digits=4)}, and {why}; use more noise, fewer jobs or a larger budget"
            )


def _bounded(all_spent: Sequence[PrivacySpent], budget: float) -> float:
    """ε of all charges; the quick bound by RDP where there is one and it is within the budget already."""
    try:
        quick = compose_epsilon(all_spent, accountant="rdp")
    except ConfigError:
        quick = math.inf
    return quick if quick <= budget else compose_epsilon(all_spent)


def _write(path: Path, values: Mapping[str, Any]) -> None:
    with replacing(path) as part:
        part.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
