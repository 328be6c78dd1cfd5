"""Combined privacy loss of all runs of a store that share a training population."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecgexp.analysis.find_runs import StoredRun, search_runs
from ecgexp.privacy.recorded_losses import Loss, Losses
from ecgexp.privacy.spent import PrivacySpent
from ecgexp.privacy.store_loss import groups_of, store_privacy_loss
from ecgexp.settings.declaration import DataError
from ecgexp.storage.reading import MissingFileError
from ecgexp.sweeps.invocation import read_pointer
from ecgexp.tracking.local.result import PrivacyValues
from ecgexp.tracking.mlflow.existing_store import default_uri
from ecgexp.tracking.settings import MlflowTracking, NoTracking

_SPEC = "PrivacySpec"  # the class of `privacy=` with a guarantee
_SPENT = ("event", "delta", "unit", "neighboring_relation", "accountant")


def together(
    runs: Sequence[StoredRun],
    *,
    uri: str | None = None,
    folder: Path | None = None,
    store: Sequence[StoredRun] | None = None,
) -> list[str]:
    """Return one text per training population of the runs that has a private run.

    **Guarantees** (`tests/unit/analysis/report/test_losses.py`): a run is left out only if its
    record states another training population. A run that is in the store but not on record (of
    another machine, or older than the record) counts with the event that it stored. If it stored
    none, or its record is damaged, the text states that ε is a lower bound.

    Args:
      runs: runs of the page.
      uri: the store; None: `default_uri()`.
      folder: the folder of a sweep's invocation, for a page about a folder: then only its runs and
        the record of the store are used.
      store: all runs of the store, if they were read already.

    Returns:
      One text per population, for the page.
    """
    private_dir, is_known = private_dir_of(uri=uri, folder=folder)
    record = Losses(private_dir)
    if folder is not None:
        store = runs
    shown = _shown(runs, uri) if store is None else store
    known = record.all()
    # Folders identify runs without an id only: on one server, runs of two machines may have folders
    # of the same name.
    ids, folders = (
        {loss.run_id for loss in known},
        {loss.run_dir for loss in known if loss.run_id is None},
    )
    found, unknown = list(known), record.damaged + (not is_known)
    for run in shown:
        if run.run_id in ids or run.tags.get("run.dir") in folders or not _trained(run):
            continue
        loss = _of(run)
        unknown += loss is None
        found += [] if loss is None else [loss]
    own = {run.run_id for run in runs} | {
        run.tags["run.dir"] for run in runs if "run.dir" in run.tags
    }
    names = {_training_population(run) for run in runs}
    texts = []
    for group in groups_of(found) or ([[]] if unknown else []):
        concerned = not group or any(
            {loss.run_id, loss.run_dir} & own or loss.training_population & names for loss in group
        )
        search_loss = store_privacy_loss(group, unknown=unknown) if concerned else None
        texts += [] if search_loss is None else [search_loss.text]
    return texts


def _shown(runs: Sequence[StoredRun], uri: str | None) -> Sequence[StoredRun]:
    """Return all runs of the store; without a store, those of the page."""
    try:
        return search_runs(uri=uri)
    except DataError:
        return runs


def private_dir_of(*, uri: str | None, folder: Path | None) -> tuple[Path, bool]:
    """Return the private folder of a store, and whether it is known.

    It is unknown if the file in which a sweep's invocation recorded it is damaged; the default
    folder is returned then.

    Args:
      uri: the store; None: `default_uri()`.
      folder: the folder of a sweep's invocation, whose jobs have the store; None: that of `uri`.
    """
    if folder is None:
        return MlflowTracking(uri=uri or default_uri()).private_dir(), True
    by_default = NoTracking().private_dir()
    try:
        found = read_pointer(folder)["private_dir"]
    except MissingFileError:
        return by_default, True
    except DataError:
        return by_default, False
    return Path(found) if found else by_default, True


def _trained(run: StoredRun) -> bool:
    """Return whether a run of this project had read its beats, so that it may have trained."""
    return run.tags.get("sweep.role") != "parent" and "dataset.name" in run.tags


def _training_population(run: StoredRun) -> str:
    """Return the database of a run, named as by `training_population_of`."""
    return f"database {run.tags.get('dataset.name', '').partition(' -> ')[0].split(' ')[0]}"


def _of(run: StoredRun) -> Loss | None:
    """Return the loss of a run that is not on record, from its files; None if it is unknown."""
    requested = run.params.get("privacy._target_", "").endswith(_SPEC)
    try:
        values = PrivacyValues()
        if requested or "privacy.guarantee" in run.tags:
            values = run.read_json("privacy.json", PrivacyValues)
        if values is None:
            return None
        known: dict[str, Any] = dict(values)
        stated = {name: known[name] for name in _SPENT} if known.get("guarantee") else {}
        spent = (
            PrivacySpent.from_json(stated | {"has_privacy_guarantee": True})
            if stated
            else _unbounded()
        )
    except (DataError, ValueError, LookupError, TypeError):
        return None
    return Loss(
        run_dir=run.tags.get("run.dir", run.run_id),
        name=run.name,
        run_id=run.run_id,
        sweep=run.tags.get("sweep"),
        training_population=frozenset({_training_population(run)}),
        spent=spent,
        finished=run.status == "FINISHED",
    )


def _unbounded() -> PrivacySpent:
    """Return the privacy loss of a run without a guarantee."""
    return PrivacySpent(
        event={"type": "NonPrivateDpEvent"},
        delta=1e-5,
        unit="beat",
        neighboring_relation="add_or_remove_one",
        accountant="pld",
        has_privacy_guarantee=False,
    )
