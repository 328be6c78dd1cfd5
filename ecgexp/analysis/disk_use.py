"""What caches and run folders take on the disk, and which of them may be removed."""

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ecgexp.analysis.run_list import ListedRun, list_runs
from ecgexp.formatting import number_text
from ecgexp.privacy.recorded_losses import Losses
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.settings.installation import to_type
from ecgexp.storage.atomic import resolved
from ecgexp.sweeps.attempts import Attempts
from ecgexp.tracking.local.lock import hold
from ecgexp.tracking.local.run_json import has_finished, read_run

Kind = Literal["cache", "runs"]
_CACHED = ("beats-*.json", "digests-*.json", "arrays", "synthetic-*")
_JOURNAL = "privacy_journal.jsonl"
_REMOVED = ".removed"
_DAY_S = 86400.0


@dataclass(frozen=True, kw_only=True)
class Item:
    """Something that takes space.

    Attributes:
      kind: what it is; `runs` for the folder of a run.
      path: file or folder.
      size: bytes.
      kept: why it must not be removed; empty if it may be.
      age_days: days since the run ended or began; 0 for a cache.
    """

    kind: Kind
    path: Path
    size: int
    kept: str = ""
    age_days: float = 0.0


def disk_use(
    *,
    cache_dir: Path,
    runs_dir: Path,
    uri: str | None,
    private_dir: Path,
    with_sweeps: bool = False,
) -> list[Item]:
    """List the cached files and the run folders, with the reasons why some must stay.

    **Guarantees** (`tests/unit/analysis/runs/test_disk_use.py`): kept are a run that is running, or
    that another machine has not reported as ended; a job of a sweep that has not finished, or that
    another sweep uses, and without `with_sweeps` any job of a sweep; a private run whose privacy
    loss is not in the record of the store; a run whose store lacks entries, or that has no copy in
    a store and has finished; and, while a run is running, the cache. The private folder of a store
    and the folders of sweeps are never listed.

    Args:
      cache_dir: `data.cache_dir` of the runs.
      runs_dir: folder that is searched for runs.
      uri: the store; None: `default_uri()`.
      private_dir: private folder of the store.
      with_sweeps: whether jobs of finished sweeps may be removed; the command of such a sweep would
        train them again.
    """
    listed = list_runs(runs_dir=runs_dir, uri=uri)
    runs = [
        run
        for run in listed.runs
        if run.folder is not None and run.folder.is_dir() and _is_below(run.folder, runs_dir)
    ]
    needed, recorded = _needed_by_sweeps(runs, runs_dir), _recorded(private_dir)
    running = [run for run in listed.runs if run.status == "RUNNING"]
    verb = "is" if len(running) == 1 else "are"
    in_use = f"{number_text(len(running), 'run')} {verb} running" if running else ""
    items = [
        Item(kind="cache", path=path, size=_size(path), kept=in_use)
        for pattern in _CACHED
        for path in sorted(cache_dir.glob(pattern))
    ]
    items += [
        Item(kind="runs", path=path, size=_size(path))
        for path in sorted(runs_dir.rglob(f".*{_REMOVED}"))
    ]
    now = time.time()
    for run in runs:
        folder = run.folder
        assert folder is not None  # noqa: S101 - as selected above
        items.append(
            Item(
                kind="runs",
                path=folder,
                size=_size(folder),
                kept=_why_kept(run, folder, needed, recorded, with_sweeps=with_sweeps),
                age_days=(now - run.started - (run.seconds or 0)) / _DAY_S,
            )
        )
    return items


def remove(item: Item) -> None:
    """Remove an item that may be removed.

    A run's folder is renamed first, so that a killed removal leaves no half of a run.

    Args:
      item: from `disk_use`.

    Raises:
      DataError: another process uses the run, or it must be kept.
      OSError: it cannot be removed.
    """
    if item.kept:
        raise DataError(f"{item.path}: it is kept: {item.kept}; leave it out")
    if item.kind == "cache" or item.path.name.endswith(_REMOVED):
        shutil.rmtree(item.path) if item.path.is_dir() else item.path.unlink()
        return
    try:
        with hold(item.path, new=False, setting="RUN"):
            renamed = item.path.with_name(f".{item.path.name}{_REMOVED}")
            os.replace(item.path, renamed)
    except ConfigError as error:
        raise DataError(str(error)) from error
    shutil.rmtree(renamed)


def _why_kept(
    run: ListedRun,
    folder: Path,
    needed: Mapping[Path, bool],
    recorded: set[str],
    *,
    with_sweeps: bool,
) -> str:
    if run.status == "RUNNING":
        return f"it is running on {run.host}" if run.host else "it may be running"
    if not needed.get(resolved(folder), True):
        return "its sweep has not finished, and needs it"
    if resolved(folder) in needed and not with_sweeps:
        return "the command of its finished sweep would train it again; use --with-sweeps"
    is_private = (folder / _JOURNAL).exists() or bool(run.unit)
    if is_private and not {str(folder.absolute()), str(resolved(folder))} & recorded:
        return "its journal is the only record of its privacy loss, which counts towards the budget"
    try:
        store = read_run(folder).get("store")
    except DataError as error:
        return f"it cannot be read ({error})"
    if store is not None and not store["whole"]:
        return f"MLflow lacks entries of it; use {to_type(['ecgexp-sync', str(folder)])}"
    if run.status == "FINISHED" and not run.in_store:
        return "its folder is the only copy of a finished run"
    return ""


def _needed_by_sweeps(runs: Sequence[ListedRun], runs_dir: Path) -> dict[Path, bool]:
    """Return folder of a job -> whether all sweeps that use it have finished."""
    found: dict[Path, bool] = {}
    for home in runs_dir.glob("*/sweeps/*"):
        is_over = has_finished(home / "parent")
        places = {
            place
            for attempt in Attempts(home / "attempts").all()
            for place in (attempt.run_dir, attempt.first)
            if place
        }
        own = {str(run.folder) for run in runs if run.sweep == home.name}
        for place in {resolved(Path(place)) for place in places | own}:
            found[place] = found.get(place, True) and is_over
    return found


def _recorded(private_dir: Path) -> set[str]:
    """Return the folders of the runs whose privacy loss the store has recorded."""
    return {loss.run_dir for loss in Losses(private_dir).all()}


def _is_below(folder: Path, parent: Path) -> bool:
    return resolved(folder).is_relative_to(resolved(parent))


def _size(path: Path) -> int:
    if not path.is_dir():
        return path.lstat().st_size
    return sum(
        entry.lstat().st_size
        for entry in path.rglob("*")
        if entry.is_symlink() or not entry.is_dir()
    )


def totals(items: Sequence[Item]) -> dict[Kind, tuple[int, int, int]]:
    """Return kind -> (number of items, bytes, bytes that may be removed)."""
    kinds: tuple[Kind, ...] = ("cache", "runs")
    return {
        kind: (
            sum(item.kind == kind for item in items),
            sum(item.size for item in items if item.kind == kind),
            sum(item.size for item in items if item.kind == kind and not item.kept),
        )
        for kind in kinds
    }
