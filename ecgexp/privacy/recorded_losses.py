"""The privacy losses of all runs of a store: written before a run trains, and never less afterwards.

A sweep knows its own jobs, MLflow the runs that nobody deleted, a folder the run that ended there last. What a person lost by
all of them is known here only: one small file a start, in the private folder of the store, which no run, sweep, cleaning of
a folder or deletion in MLflow changes.
"""

import json
import os
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from typing_extensions import TypedDict

from ecgexp.privacy.search_accounting import (
    PrivacySpent,
    Scope,
    SearchPrivacyLoss,
    search_privacy_loss,
)
from ecgexp.settings.declaration import ConfigError
from ecgexp.storage.atomic import remove_litter, replacing
from ecgexp.storage.reading import read_json

FOLDER = "losses"
_LOCK_S = 60.0


class LossValues(TypedDict):
    """The file of a loss; see `Loss`."""

    run_dir: str
    name: str
    run_id: str | None
    sweep: str | None
    training_population: list[str]
    spent: dict[str, Any]
    before: dict[str, Any] | None
    finished: bool
    id: str
    start: str


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What the people lost by one run, over all of its starts.

    Attributes:
      run_dir: the run's folder.
      name: by which people know it.
      run_id: in MLflow; None without one.
      sweep: the folder's name of the sweep it is a job of; None for a single run.
      training_population: on whom it may have trained; see `training_population.training_population_of`. Empty: unknown, so it counts for everybody.
      spent: what it did, or may have done if it did not finish.
      before: what its earlier starts may have done; never less.
      finished: whether it ended as it should.
      id: of the run here; a copy of its folder that is resumed is another run.
      start: of the process that wrote it last.
    """

    run_dir: str
    name: str
    run_id: str | None = None
    sweep: str | None = None
    training_population: frozenset[str]
    spent: PrivacySpent
    before: PrivacySpent | None = None
    finished: bool = False
    id: str = field(default_factory=lambda: f"{time.time_ns():020d}-{secrets.token_hex(4)}")
    start: str = field(default_factory=lambda: secrets.token_hex(8))

    def after(self, known: "Loss | None") -> "Loss":
        """This state of the run, given the one on record: nothing that is on record is forgotten.

        **Guarantees**: the charge of the result is at least that of every earlier start, and at least its own reservation until
        the start that reserved it says what it really did (`tests/privacy/test_losses.py`).
        """
        if known is None:
            return self
        spent, before = settle(
            self.spent,
            self.before,
            known.spent,
            known.before,
            own=self.start == known.start,
            final=self.finished,
        )
        return replace(
            self, spent=spent, before=before, sweep=self.sweep or known.sweep,
            training_population=self.training_population | known.training_population,
            run_id=self.run_id or known.run_id,
        )  # fmt: skip


def settle(
    spent: PrivacySpent | None, before: PrivacySpent | None, known: PrivacySpent | None, known_before: PrivacySpent | None, *, own: bool, final: bool
) -> tuple[PrivacySpent | None, PrivacySpent | None]:  # fmt: skip
    """The charge of a run and what its earlier starts may have done, from a new state of it and the state on record.

    Args:
      spent: of the new state; None: it does not know.
      before: of the new state.
      known: charge on record.
      known_before: what earlier starts may have done, on record.
      own: whether the start that wrote the record is the one that writes the new state.
      final: whether the new state says what really ran, so that it replaces what the same start had reserved.
    """
    before = _more(before, known_before)
    if not own:
        before = _more(before, known)
    elif spent is None or not final:
        spent = _more(spent, known)
    return _more(spent, before), before


def _more(one: PrivacySpent | None, other: PrivacySpent | None) -> PrivacySpent | None:
    return other if one is None else one.at_least(other)


class Losses:
    """The record of one store.

    Args:
      folder: the store's private folder; see `ecgexp.tracking.settings`.
    """

    def __init__(self, folder: Path):
        self._folder = folder / FOLDER

    def begin(self, loss: Loss, *, resumes: bool) -> "Recorded":
        """Records what a run may do, before its first step; returns when it is on the disk.

        Args:
          loss: what is planned, and what is on the run's ledger.
          resumes: whether the run in this folder did not finish and is resumed: then it is the run on record. A copy of its
            folder, or a second start from nothing, is another run.

        Raises:
          ConfigError: the record cannot be written, so the run must not begin.
        """
        try:
            with self._lock():
                remove_litter(self._folder)
                same = [
                    known
                    for known in self.all()
                    if known.run_dir == loss.run_dir and not known.finished
                ]
                if resumes and same:
                    loss = replace(loss, id=same[-1].id)
                return Recorded(self, self._write(loss))
        except (OSError, Timeout) as error:
            raise ConfigError(
                f"{self._folder}: the privacy loss of the run cannot be recorded there ({error}); use a folder that can be "
                "written, by tracking.uri= or ECGEXP_PRIVATE="
            ) from error

    def record(self, loss: Loss) -> Loss:
        """Records a new state of a run; what is on record stays on record."""
        with self._lock():
            return self._write(loss)

    def all(self) -> list[Loss]:
        """Every run on record, in the order of their first starts, but for those whose record is damaged."""
        return [loss for loss in map(_read, self._files()) if loss is not None]

    @property
    def damaged(self) -> int:
        """Records that cannot be read: runs that may have lost anything."""
        return sum(_read(path) is None for path in self._files())

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.json"))

    def _lock(self) -> FileLock:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return FileLock(self._folder / ".lock", timeout=_LOCK_S)

    def _write(self, loss: Loss) -> Loss:
        path = self._folder / f"{loss.id}.json"
        loss = loss.after(_read(path) if path.exists() else None)
        values = asdict(loss) | {"training_population": sorted(loss.training_population)}
        with replacing(path) as part, part.open("w", encoding="utf-8") as file:
            json.dump(values, file, indent=1, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        return loss


class Recorded:
    """A run on record, while it runs.

    Args:
      losses: where it is recorded.
      loss: its state.
    """

    def __init__(self, losses: Losses, loss: Loss):
        self._losses, self.loss = losses, loss

    def finish(self, event: Mapping[str, Any] | None) -> None:
        """Records what really ran instead of what was reserved; what earlier starts may have done stays.

        Args:
          event: all that is on the run's ledger, as `accounting.to_json` writes it; None keeps the reservation.
        """
        spent = self.loss.spent if event is None else replace(self.loss.spent, event=event)
        self.loss = self._losses.record(replace(self.loss, spent=spent, finished=True))


def on_the_same_population(
    losses: Sequence[Loss], training_population: Iterable[str]
) -> list[Loss]:
    """The runs that somebody may have been in who may be among `training_population`; a run of which nothing is known is one of them."""
    wanted, chosen = set(training_population), [False] * len(losses)
    changed = True
    while changed:
        changed = False
        for place, loss in enumerate(losses):
            if not chosen[place] and (
                not loss.training_population or not wanted or loss.training_population & wanted
            ):
                chosen[place] = changed = True
                wanted |= loss.training_population
    return [loss for loss, is_in in zip(losses, chosen, strict=True) if is_in]


def groups_of(losses: Sequence[Loss]) -> list[list[Loss]]:
    """The runs by people: two runs that may share a person are in one group."""
    groups: list[list[Loss]] = []
    left = list(losses)
    known = [loss for loss in left if loss.training_population]
    while known:
        group = on_the_same_population(left, known[0].training_population)
        groups.append(group)
        ids = {loss.id for loss in group}
        known = [loss for loss in known if loss.id not in ids]
    return groups if groups or not left else [left]


def store_privacy_loss(losses: Sequence[Loss], *, unknown: int = 0) -> SearchPrivacyLoss | None:
    """What the people lose by all these runs of a store together; None where no run gives a guarantee.

    Args:
      losses: of runs on the same people.
      unknown: runs whose record is damaged or missing.
    """
    names = sorted(
        {
            word.partition(" ")[2]
            for loss in losses
            for word in loss.training_population
            if word.startswith("database ")
        }
    )
    sweeps = len({loss.sweep for loss in losses if loss.sweep is not None})
    single = sum(loss.sweep is None for loss in losses)
    unfinished = sum(not loss.finished for loss in losses)
    worst = (
        f" Runs that did not finish, {unfinished} of them, count with all they may have done."
        if unfinished
        else ""
    )
    covers = (
        f"This covers every run on record in this store that was trained on the same people ({', '.join(names) or 'unknown'}): "
        f"{_count(sweeps, 'sweep')} and {_count(single, 'single run')}.{worst} Runs of other stores, and the same people "
        "recorded anew for another database, are not known here and add to it."
    )
    of = "of this store on the same people"
    return search_privacy_loss(
        [loss.spent for loss in losses],
        unknown=unknown,
        scope=Scope(of=of, covers=covers, has_best=False),
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _read(path: Path) -> Loss | None:
    """The record in `path`; None where it is damaged."""
    try:
        values = dict(read_json(path, LossValues, fix="restore the file from a copy"))
        if values["id"] != path.stem:  # a copy, which would count twice or be written elsewhere
            return None
        before = values["before"]
        values |= {
            "training_population": frozenset(values["training_population"]), "spent": PrivacySpent.from_json(values["spent"]),
            "before": None if before is None else PrivacySpent.from_json(before),
        }  # fmt: skip
        return Loss(**{name: values[name] for name in Loss.__dataclass_fields__})
    except ValueError:  # DataError, or what is no charge
        return None
