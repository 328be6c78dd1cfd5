"""The record of the privacy losses of all runs of a store, written before a run trains.

A sweep has a record of its own jobs, MLflow of the runs that were not deleted, and a folder of the
last run in it. Only this record has the privacy loss by all runs together: one small file per run,
in the private folder of the store. Other runs and sweeps, cleaning a folder, and deletion in MLflow
do not change it.
"""

import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from typing_extensions import TypedDict

from ecgexp.privacy.spent import PrivacySpent
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
    """The privacy loss by one run, over all its starts.

    Attributes:
      run_dir: the run's folder.
      name: the run's name.
      run_id: in MLflow; None without one.
      sweep: folder name of the sweep that the run is a job of; None for a single run.
      training_population: the people whose data it may have trained on; see
        `ecgexp.data.populations`. Empty: unknown, so the run counts for everyone.
      spent: the privacy loss of the run; of all that is planned if it did not finish.
      before: largest possible loss by its earlier starts.
      finished: whether the run finished.
      id: identifier of the run in this record; a copied folder that is resumed is another run.
      start: identifier of the process that wrote the state.
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
        """Combine this state of the run with the recorded one, without reducing the loss.

        **Guarantees**: the loss of the result is at least that of every earlier start, and at least
        its own reservation until the start that reserved it records what really ran
        (`tests/unit/privacy/test_recorded_losses.py`).

        Args:
          known: recorded state; None where there is none.

        Returns:
          The state to record.
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
            self,
            spent=spent,
            before=before,
            sweep=self.sweep or known.sweep,
            training_population=self.training_population | known.training_population,
            run_id=self.run_id or known.run_id,
        )


def settle(
    spent: PrivacySpent | None,
    before: PrivacySpent | None,
    known: PrivacySpent | None,
    known_before: PrivacySpent | None,
    *,
    own: bool,
    final: bool,
) -> tuple[PrivacySpent | None, PrivacySpent | None]:
    """Combine the new and the recorded privacy loss of a run.

    Args:
      spent: loss in the new state; None: unknown.
      before: largest possible loss by earlier starts, in the new state.
      known: recorded loss.
      known_before: recorded largest possible loss by earlier starts.
      own: whether the start that wrote the record also writes the new state.
      final: whether the new state is what really ran, so that it replaces the reservation of the
        same start.

    Returns:
      The loss of the run and the largest possible loss by earlier starts.
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
    """The record of the privacy losses of one store.

    Args:
      folder: the store's private folder; see `ecgexp.tracking.settings`.
    """

    def __init__(self, folder: Path):
        self._folder = folder / FOLDER

    def begin(self, loss: Loss, *, resumes: bool) -> "Recorded":
        """Record the loss that a run may cause, before its first step, and wait for the disk.

        Args:
          loss: all that is planned and all that is in the run's ledger.
          resumes: whether the unfinished run in this folder is resumed: then its record is
            continued. A copy of its folder, or a new start in it, is another run.

        Returns:
          The recorded run.

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
                f"{self._folder}: the privacy loss of the run cannot be recorded there ({error}); "
                "use a writable folder, set by tracking.uri= or ECGEXP_PRIVATE="
            ) from error

    def record(self, loss: Loss) -> Loss:
        """Record a new state of a run; the recorded loss never decreases."""
        with self._lock():
            return self._write(loss)

    def all(self) -> list[Loss]:
        """Return all runs with an undamaged record, in the order of their first starts."""
        return [loss for loss in map(_read, self._files()) if loss is not None]

    @property
    def damaged(self) -> int:
        """Number of damaged records, i.e. of runs with an unknown loss."""
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
    """The record of a run while it runs.

    Args:
      losses: the record of the store.
      loss: the run's recorded state.
    """

    def __init__(self, losses: Losses, loss: Loss):
        self._losses, self.loss = losses, loss

    def finish(self, event: Mapping[str, Any] | None) -> None:
        """Replace the reservation by what really ran; the loss by earlier starts is kept.

        Args:
          event: all events in the run's ledger, as `stored_events.to_json` writes them; None keeps
            the reservation.
        """
        spent = self.loss.spent if event is None else replace(self.loss.spent, event=event)
        self.loss = self._losses.record(replace(self.loss, spent=spent, finished=True))


def _read(path: Path) -> Loss | None:
    """Read the record in `path`; None where it is damaged."""
    try:
        values: dict[str, Any] = dict(
            read_json(path, LossValues, fix="restore the file from a copy")
        )
        if values["id"] != path.stem:  # a copy would count twice or be written to another file
            return None
        before = values["before"]
        values |= {
            "training_population": frozenset(values["training_population"]),
            "spent": PrivacySpent.from_json(values["spent"]),
            "before": None if before is None else PrivacySpent.from_json(before),
        }
        return Loss(**{name: values[name] for name in Loss.__dataclass_fields__})
    except ValueError:  # DataError, or not the values of a privacy loss
        return None
