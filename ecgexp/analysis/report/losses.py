"""Combined privacy loss of all runs of a store on the same training population, in the report or not."""

from collections.abc import Sequence
from pathlib import Path

from ecgexp.analysis.find_runs import StoredRun, search_runs
from ecgexp.privacy.recorded_losses import Loss, Losses, groups_of, store_privacy_loss
from ecgexp.privacy.search_accounting import PrivacySpent
from ecgexp.settings.declaration import DataError
from ecgexp.storage.reading import MissingFileError
from ecgexp.sweeps.sweep import read_pointer
from ecgexp.tracking.local.result import PrivacyValues
from ecgexp.tracking.mlflow.existing_store import default_uri
from ecgexp.tracking.settings import MlflowTracking, NoTracking

_SPEC = "PrivacySpec"  # the class of `privacy=` with a guarantee
_SPENT = ("event", "delta", "unit", "neighboring_relation", "accountant")


def together(
    runs: Sequence[StoredRun], *, uri: str | None = None, folder: Path | None = None
) -> list[str]:
    """Return one text per training population of the runs.

    None for a population without a private run.

    **Guarantees**: a run is left out only if its record says that it used another training
    population. A run that the store shows and the record does not have (of another machine, or of
    before the record was begun) counts with the event that it kept; where it kept none, or its
    record is damaged, the figure is a lower bound and says so (`tests/unit/analysis/report/test_losses.py`).

    Args:
      runs: of the page.
      uri: of the store; None: the usual one.
      folder: of a sweep's invocation, where the page is of a folder: then its runs and the store's
        record are asked alone.
    """
    is_known = True
    if folder is None:
        shown = _shown(runs, uri)
        record = Losses(MlflowTracking(uri=uri or default_uri()).private_dir())
    else:
        private_dir, is_known = _private_dir_of(folder)
        shown, record = list(runs), Losses(private_dir)
    known = record.all()
    # By its folder only where it had no id: runs of two machines on one server may have folders of
    # one name.
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
    """All runs of the store; those of the page, where they came from no store."""
    try:
        return search_runs(uri=uri)
    except DataError:
        return runs


def _private_dir_of(folder: Path) -> tuple[Path, bool]:
    """Of the store of a sweep's jobs, as its invocation wrote it down, and whether what it wrote can be read."""
    usual = NoTracking().private_dir()
    try:
        found = read_pointer(folder)["private_dir"]
    except MissingFileError:
        return usual, True
    except DataError:
        return usual, False
    return Path(found) if found else usual, True


def _trained(run: StoredRun) -> bool:
    """Whether it is a run of ours that had read its beats, so that it may have trained."""
    return run.tags.get("sweep.role") != "parent" and "dataset.name" in run.tags


def _training_population(run: StoredRun) -> str:
    """As `training_population_of` names a database."""
    return f"database {run.tags.get('dataset.name', '').partition(' -> ')[0].split(' ')[0]}"


def _of(run: StoredRun) -> Loss | None:
    """The loss of a run that is not on record, by what it kept; None: unknown."""
    asked = run.params.get("privacy._target_", "").endswith(_SPEC)
    try:
        values = (
            run.read_json("privacy.json", PrivacyValues)
            if asked or "privacy.guarantee" in run.tags
            else {}
        )
        if values is None:
            return None
        stated = {name: values[name] for name in _SPENT} if values.get("guarantee") else {}
        spent = (
            PrivacySpent.from_json(stated | {"has_privacy_guarantee": True}) if stated else _open()
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


def _open() -> PrivacySpent:
    """Of a run without a guarantee."""
    return PrivacySpent(
        event={"type": "NonPrivateDpEvent"},
        delta=1e-5,
        unit="beat",
        neighboring_relation="add_or_remove_one",
        accountant="pld",
        has_privacy_guarantee=False,
    )
