"""The privacy loss of the runs of a store together: which may share a person, and their joint ε."""

from collections.abc import Iterable, Sequence

from ecgexp.formatting import number_text
from ecgexp.privacy.recorded_losses import Loss
from ecgexp.privacy.search_accounting import Scope, SearchPrivacyLoss, search_privacy_loss


def on_the_same_population(
    losses: Sequence[Loss], training_population: Iterable[str]
) -> list[Loss]:
    """Select the runs that may share a person, directly or through other runs.

    Args:
      losses: all runs.
      training_population: the people to start from; empty: unknown.

    Returns:
      Runs whose population overlaps with `training_population` or with that of a selected run;
      runs with an unknown population are always among them.
    """
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
    """Group the runs by population: two runs that may share a person are in one group."""
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
    """Compute the privacy loss by all these runs of a store together.

    Args:
      losses: runs on the same people.
      unknown: number of runs whose record is damaged or missing.

    Returns:
      The loss; None where no run has a privacy guarantee.
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
        f" Runs that did not finish, {unfinished} of them, count with all planned steps."
        if unfinished
        else ""
    )
    covers = (
        "This covers every recorded run of this store that was trained on the same people "
        f"({', '.join(names) or 'unknown'}): {number_text(sweeps, 'sweep')} and "
        f"{number_text(single, 'single run')}.{worst} Runs of other stores, and of the same people "
        "in another database, are not known here and add to it."
    )
    of = "of this store on the same people"
    return search_privacy_loss(
        [loss.spent for loss in losses],
        unknown=unknown,
        scope=Scope(of=of, covers=covers, has_best=False),
    )
