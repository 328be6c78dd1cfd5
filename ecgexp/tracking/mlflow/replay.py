"""Complete a run in a store from the run's folder.

The entries of the store are read first, and only missing ones are sent, the final status last. So a
call that was interrupted can be repeated, and a call with nothing missing sends nothing.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ecgexp.settings.declaration import DataError
from ecgexp.tracking.base import DatasetInput
from ecgexp.tracking.kept_files import remove_partial_uploads
from ecgexp.tracking.local.run_json import read_run
from ecgexp.tracking.local.tracker import read_entries
from ecgexp.tracking.mlflow.headline import headline
from ecgexp.tracking.mlflow.model import is_logged
from ecgexp.tracking.mlflow.store import Store
from ecgexp.tracking.mlflow.tracker import (
    REASON_TAG,
    MlflowTracker,
    as_inputs,
    points_of,
    reaching,
    stored_tag,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

_EDITABLE = "mlflow.note.content"  # can be changed in the UI, so an existing value stays


def replay(folder: Path, store: Store, run_id: str, *, with_end: bool = True) -> str:
    """Send the missing entries of the run `run_id` to the store.

    Args:
      folder: folder of the run, held by this process.
      store: the store; its `experiment_id` is not used.
      run_id: id of the run in the store.
      with_end: whether to send the final status; False for a run that is about to resume.

    Returns:
      What was sent, e.g. `12 points, 3 files, final status FINISHED`; empty where nothing was
      missing.

    Raises:
      DataError: the folder is damaged, or the run was deleted in the store.
      TrackerUnavailable: the store does not answer, or has no such run; entries that have arrived
        stay.
    """
    values = read_run(folder)
    with reaching():
        run = store.client.get_run(run_id)
        points = points_of(store, run)
    if run.info.lifecycle_stage == "deleted":
        raise DataError(
            f"{folder}: its run was deleted in MLflow; use `mlflow runs restore --run-id {run_id}` "
            "to restore it"
        )
    # A report may be uploaded to a parent run at this moment.
    is_parent = values["tags"].get("sweep.role") == "parent"
    if run.info.artifact_uri:
        remove_partial_uploads(run.info.artifact_uri, older_than_s=60.0 if is_parent else 0.0)
    store = replace(store, experiment_id=run.info.experiment_id)
    tracker = MlflowTracker(store, run_id, params=run.data.params, points=points, has_folder=True)
    params = {
        name: value for name, value in values["params"].items() if name not in run.data.params
    }
    tracker.log_params(params)
    tags = {name: text for name, text in values["tags"].items() if _lacks(run, name, text)}
    if not with_end:  # the run resumes in another process
        tags = {name: text for name, text in tags.items() if not name.startswith("process.")}
    tracker.set_tags(tags)
    sent = {
        "parameter": len(params),
        "tag": len(tags),
        "point": _send_points(folder, tracker, points),
    }
    sent |= {
        "dataset": _send_datasets(values, tracker, run),
        "file": _send_files(folder, values, tracker, store, run_id),
    }
    words = [
        f"{number} {name}{'' if number == 1 else 's'}" for name, number in sent.items() if number
    ]
    words += ["the model"] if _send_model(folder, tracker, store, run_id) else []
    words += (
        [f"final status {values['status']}"]
        if with_end and _send_end(values, tracker, store, run)
        else []
    )
    return ", ".join(words)


def _lacks(run: "Run", name: str, text: str) -> bool:
    kept = run.data.tags.get(name)
    return kept != stored_tag(text) and not (name == _EDITABLE and kept is not None)


def _send_points(folder: Path, tracker: MlflowTracker, kept: set[tuple[str, int | None]]) -> int:
    """Send the missing points, identified by name and step, whatever their stored times."""
    number = 0
    for entry in read_entries(folder / "metrics.jsonl"):
        step, metrics, at = entry["step"], entry["metrics"], entry["time"]
        fresh = {
            name: value
            for name, value in headline(metrics).items()
            if value is not None and (name, step) not in kept
        }
        if fresh:
            tracker.log_metrics(fresh, step=step, at=at)
        number += len(fresh)
    return number


def _send_datasets(values: dict[str, Any], tracker: MlflowTracker, run: "Run") -> int:
    inputs = run.inputs.dataset_inputs if run.inputs is not None else []
    kept = {entry.dataset.digest for entry in inputs}
    missing = [
        dataset
        for dataset in (DatasetInput(**entry) for entry in values["datasets"])
        if not {entry.dataset.digest for entry in as_inputs(dataset)} <= kept
    ]
    for dataset in missing:
        tracker.log_dataset(dataset)
    return len(missing)


def _send_files(
    folder: Path, values: dict[str, Any], tracker: MlflowTracker, store: Store, run_id: str
) -> int:
    missing = list(_missing_files(folder, values, store, run_id))
    for path in missing:
        tracker.log_file(folder / path, path.rpartition("/")[0])
    return len(missing)


def _missing_files(
    folder: Path, values: dict[str, Any], store: Store, run_id: str
) -> Iterator[str]:
    """Yield artifacts that are missing or of another size, as after an interrupted upload."""
    paths = [path for path in values.get("artifacts", ()) if (folder / path).is_file()]
    kept: dict[str, int | None] = {}
    for parent in sorted({str(PurePosixPath(path).parent) for path in paths}):
        with reaching():
            listed = store.client.list_artifacts(run_id, None if parent == "." else parent)
        kept |= {entry.path: entry.file_size for entry in listed if not entry.is_dir}
    for path in paths:
        if path not in kept or kept[path] not in (None, (folder / path).stat().st_size):
            yield path


def _send_model(folder: Path, tracker: MlflowTracker, store: Store, run_id: str) -> bool:
    if not (folder / "model" / "model.json").exists():
        return False
    with reaching():
        if is_logged(store, run_id, folder / "model"):
            return False
    tracker.log_model(folder / "model")
    return True


def _send_end(values: dict[str, Any], tracker: MlflowTracker, store: Store, run: "Run") -> bool:
    status, reason = values["status"], values.get("reason")
    kept = run.data.tags.get(REASON_TAG)
    if (run.info.status, kept) == (status, None if reason is None else stored_tag(reason)):
        return False
    if (
        reason is None and kept is not None
    ):  # the store has a reason from an earlier close that no longer applies
        with reaching():
            store.client.delete_tag(run.info.run_id, REASON_TAG)
    tracker.finish(status, reason, at=values.get("ended"))
    return True
