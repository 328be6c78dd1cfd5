"""Which run a user means by `latest`, or by the beginning of an MLflow id."""

import itertools
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

from ecgexp.analysis.run_list import ListedRun, list_runs
from ecgexp.formatting import age_text
from ecgexp.settings.declaration import DataError
from ecgexp.settings.installation import to_type
from ecgexp.settings.paths import DEFAULT_RUNS_DIR, SQLITE
from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import resolved
from ecgexp.tracking.mlflow.existing_store import default_uri

LATEST = "latest"
Latest = Literal["finished", "ended", "resumable"]
_ID = re.compile(r"[0-9a-f]{1,32}")
_SHORT = 8
_SHOWN = 4


def run_named(name: str, *, uri: str | None = None, latest: Latest = "finished") -> ListedRun:
    """Return the run that a name stands for; a folder needs no such search.

    Runs are searched in the store, and below `outputs/` unless a store is named.

    Args:
      name: `latest`, an id in MLflow, or the beginning of one that no other run has.
      uri: the store; None: `default_uri()`.
      latest: which run `latest` is: the one that was started last among those that have finished,
        that have ended in any way, or that `resume=` can continue; never a debug run.

    Raises:
      DataError: there is no such run, or there are several.
    """
    listed = list_runs(uri=uri)
    if name == LATEST:
        found = [
            run
            for run in listed.runs
            if _ACCEPTS[latest](run) and not run.debug and not run.is_left_out
        ]
        if not found:
            but = " and is not a debug run" if any(run.debug for run in listed.runs) else ""
            raise DataError(
                f"there is no run that {_WANTED[latest]}{but} in {_where(uri)}; {_remedy(latest)}"
            )
        return found[0]
    everything = [*listed.runs, *listed.parents]
    if _ID.fullmatch(name):
        found = [run for run in everything if (run.run_id or "").startswith(name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(_several(name, found, [run.run_id or "" for run in everything]))
    if not everything:
        raise DataError(
            listed.problems[0]
            if listed.problems
            else f"there are no runs in {_where(uri)}; use `{to_type('ecgexp')}` to start one, or "
            "name their store with --store sqlite:///FOLDER/mlflow.db"
        )
    raise DataError(
        f"{name} is neither the folder of a run nor a run of {_where(uri)}; list the runs with "
        f"{to_type('ecgexp-runs')}, or use the folder of a run, or latest"
    )


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """Return the first characters of each id: eight, or as many as no other id begins with.

    Args:
      ids: all ids; one that is there twice counts once.

    Example:
      >>> short_ids(["0123456789ab", "0123456789ff", "89ab456789ab"])
      {'0123456789ab': '0123456789a', '0123456789ff': '0123456789f', '89ab456789ab': '89ab4567'}
    """
    in_order = sorted(set(ids))
    # The ids that share most characters with an id are beside it.
    shared = [0, *(len(os.path.commonprefix(two)) for two in itertools.pairwise(in_order)), 0]
    return {
        one: one[: max(_SHORT, before + 1, after + 1)]
        for one, (before, after) in zip(in_order, itertools.pairwise(shared), strict=False)
    }


def _several(name: str, found: Sequence[ListedRun], ids: Sequence[str]) -> str:
    now, short = time.time(), short_ids(ids)
    shown = [
        f"{short[run.run_id or '']} ({run.name}, {run.status.lower()}, "
        f"{age_text(now - run.started)} ago)"
        for run in found[:_SHOWN]
    ]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return (
        f"{len(found)} runs have an id that begins with {name}: {', '.join(shown)}{more}; use more "
        "characters of the id"
    )


def _where(uri: str | None) -> str:
    place = uri or default_uri()
    if place.startswith(SQLITE):
        place = f"{SQLITE}{resolved(Path(place.removeprefix(SQLITE)))}"
    return redact(place) + ("" if uri else f" or below {DEFAULT_RUNS_DIR}/")


def _is_resumable(run: ListedRun) -> bool:
    # A job of a sweep is resumed by the command of the sweep, and a pruned one is not.
    return run.status in ("FAILED", "KILLED") and not run.sweep and run.folder is not None


_ACCEPTS: dict[Latest, Callable[[ListedRun], bool]] = {
    "finished": lambda run: run.status == "FINISHED",
    "ended": lambda run: run.status != "RUNNING",
    "resumable": _is_resumable,
}
_WANTED: dict[Latest, str] = {
    "finished": "has finished",
    "ended": "has ended",
    "resumable": "was interrupted or failed",
}


def _remedy(latest: Latest) -> str:
    if latest == "resumable":
        return "a sweep is resumed by its own command; name another run by its folder or id"
    return f"use `{to_type('ecgexp')}` to start one, or name another run"
