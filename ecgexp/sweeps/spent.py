"""The privacy loss of a sweep, and of all runs of its store that used the same patients.

Two records exist. The files of a sweep list its attempts, but they can be deleted, and they do not
know jobs that were resumed alone. The record of the store (`privacy.recorded_losses`) lists all
runs since the store was created. Each loss is read from both, and the larger one counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ecgexp.privacy.recorded_losses import Loss, Losses
from ecgexp.privacy.search_accounting import SearchPrivacyLoss, search_privacy_loss
from ecgexp.privacy.spent import PrivacySpent
from ecgexp.privacy.store_loss import on_the_same_population, store_privacy_loss
from ecgexp.sweeps.attempts import Attempt, Attempts


@dataclass(frozen=True, kw_only=True)
class Spent:
    """The privacy losses of several runs.

    Attributes:
      losses: one per run; a run that was started anew counts again.
      unknown: number of runs whose record is damaged.
    """

    losses: Sequence[Loss]
    unknown: int

    @property
    def all_spent(self) -> list[PrivacySpent]:
        """The privacy loss of each run, in order."""
        return [loss.spent for loss in self.losses]


def spent_by_sweep(home: Path, private_dir: Path | None) -> Spent:
    """Collect the losses of a sweep's jobs, including jobs that only the store knows.

    These are jobs whose attempt files were deleted, and jobs that were resumed alone.

    Args:
      home: folder of the sweep.
      private_dir: private folder of the store; None: only the sweep's own files are read.

    Returns:
      One loss per run.
    """
    store = [] if private_dir is None else Losses(private_dir).all()
    attempts = Attempts(home / "attempts")
    own = {attempt.id: attempt for attempt in attempts.all() if attempt.spent is not None}
    folders = {attempt.run_dir for attempt in own.values()}
    known = [loss for loss in store if loss.sweep == home.name or loss.run_dir in folders]
    return Spent(losses=_joined(own, known, {home.name: own}), unknown=len(attempts.damaged))


def spent_in_store(home: Path, private_dir: Path | None) -> Spent:
    """Collect the losses of all runs of the store that may share a patient with the sweep.

    Args:
      home: folder of the sweep.
      private_dir: private folder of the store; None: only the files of sweeps are read.

    Returns:
      One loss per run.
    """
    store = Losses(private_dir) if private_dir is not None else None
    known = [] if store is None else store.all()
    sweeps = {
        folder.parent.name: Attempts(folder) for folder in sorted(home.parent.glob("*/attempts"))
    }
    by_sweep = {
        name: {attempt.id: attempt for attempt in attempts.all() if attempt.spent is not None}
        for name, attempts in sweeps.items()
    }
    own = {attempt.run_dir for attempt in by_sweep.get(home.name, {}).values()}
    every = {key: attempt for attempts in by_sweep.values() for key, attempt in attempts.items()}
    training_population = frozenset().union(
        *(
            loss.training_population
            for loss in known
            if loss.sweep == home.name or loss.run_dir in own
        )
    )
    damaged = sum(len(attempts.damaged) for attempts in sweeps.values()) + (
        0 if store is None else store.damaged
    )
    return Spent(
        losses=on_the_same_population(_joined(every, known, by_sweep), training_population),
        unknown=damaged,
    )


def both_privacy_losses(
    home: Path, private_dir: Path | None
) -> tuple[SearchPrivacyLoss | None, SearchPrivacyLoss | None]:
    """Compute the privacy loss of a sweep, and of all runs of its store on the same patients.

    Args:
      home: folder of the sweep.
      private_dir: private folder of the store; None: only the files of sweeps are read.

    Returns:
      Both privacy losses; None where no run is private.
    """
    sweep, store = spent_by_sweep(home, private_dir), spent_in_store(home, private_dir)
    return search_privacy_loss(sweep.all_spent, unknown=sweep.unknown), store_privacy_loss(
        store.losses, unknown=store.unknown
    )


def _joined(
    attempts: Mapping[str, Attempt],
    known: Sequence[Loss],
    by_sweep: Mapping[str, Mapping[str, Attempt]],
) -> list[Loss]:
    """List every run once, with the larger one of the store's and the attempt's privacy loss."""
    losses = {loss.id: loss for loss in known}
    newest = {loss.run_dir: loss.id for loss in known}
    for key, attempt in attempts.items():
        if attempt.spent is None:
            continue
        at = newest.get(attempt.run_dir)
        if at is not None:
            losses[at] = replace(losses[at], spent=losses[at].spent.at_least(attempt.spent))
            continue
        sweep = next(
            (name for name, own in by_sweep.items() if key in own and own[key].first is None), None
        )
        losses[key] = Loss(
            id=key,
            run_dir=attempt.run_dir,
            name=attempt.name,
            run_id=attempt.run_id,
            sweep=sweep,
            training_population=frozenset(),
            spent=attempt.spent,
            finished=attempt.status == "FINISHED",
        )
    return list(losses.values())
