"""Evaluations in the log of a store that are not among the published results."""

from collections.abc import Collection, Sequence
from pathlib import Path

from ecgexp.tracking.evaluation_log import EvaluationLog


def unpublished(private_dir: Path, test_sets: Collection[str], runs: Collection[str]) -> list[str]:
    """Return the runs that were evaluated on some test sets and are not published.

    The published log of evaluations is made from results that were added by hand; the log of the
    store has every evaluation, and shows which were left out.

    Args:
      private_dir: private folder of the store.
      test_sets: the test sets of the published runs, as `test_evaluation` of their results has
        them.
      runs: ids of the published runs, or names of their folders.

    Returns:
      Name and folder of each run, in the order of their first evaluations; empty without a log.

    Raises:
      DataError: the log is damaged.
    """
    begun = [
        event
        for event in EvaluationLog(private_dir).events()
        if event["event"] == "begin" and event["test_set"] in test_sets
    ]
    named = {
        event["id"]: f"{event.get('name', '')} ({event.get('run_dir', '')})"
        for event in begun
        if not {event.get("run_id"), Path(event.get("run_dir", "")).name} & set(runs)
    }
    return list(named.values())


def note(left_out: Sequence[str]) -> str:
    """Return the line for the terminal about runs that are not published; empty if there are none.

    Args:
      left_out: from `unpublished`.
    """
    if not left_out:
        return ""
    return (
        f"the store's log has {len(left_out)} more runs that were evaluated on these test sets: "
        f"{', '.join(left_out[:5])}{', …' if len(left_out) > 5 else ''}; add all of them, or the "
        "published log of evaluations is not complete"
    )
