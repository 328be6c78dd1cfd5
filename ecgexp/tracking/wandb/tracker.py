"""The tracker of a run in Weights & Biases, which writes and cannot be read again."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ecgexp.settings.installation import to_type
from ecgexp.settings.redaction import redact
from ecgexp.tracking.base import DatasetInput, Scalar, Status
from ecgexp.tracking.checks import Points, check_params, check_path
from ecgexp.tracking.local.artifact_files import FileArtifacts, plain
from ecgexp.tracking.local.tracker import now
from ecgexp.tracking.params import loggable, taggable

if TYPE_CHECKING:
    from wandb import Run

_DESCRIPTION = "mlflow.note.content"
_NOT_SENT = (".parquet",)


class WandbTracker(FileArtifacts):
    """Writes parameters and tags as the configuration, metrics as history and summary, and files.

    Predictions and the model stay in the folder of the run.

    **Guarantees**: with `hides_times`, rows of steps are written when the run ends, all at once:
    Weights & Biases measures the time of each row itself, and the duration of an epoch reveals how
    many beats were drawn (`tests/unit/tracking/test_other_trackers.py`).

    Args:
      run: a run of the library.
      hides_times: whether the times of metrics may not be published.
    """

    def __init__(self, run: "Run", *, hides_times: bool = False):
        self._run = run
        self._hides_times = hides_times
        self._rows: list[tuple[int, dict[str, float]]] = []
        self._points = Points()
        self._params: dict[str, Scalar] = {}
        self._ended = False

    @property
    def run_id(self) -> str | None:
        """None: `run_id` is an id in MLflow."""
        return None

    @property
    def url_hint(self) -> str:
        """The page of the run; offline, the command that sends it."""
        if self._run.offline:
            return to_type(["wandb", "sync", str(Path(self._run.dir).parent)])
        return self._run.url or "no page"

    def log_params(self, params: Mapping[str, Scalar]) -> None:
        """See `Tracker.log_params`."""
        fresh = loggable(params)
        check_params(fresh, self._params)
        self._params.update(fresh)
        self._run.config.update(dict(fresh))

    def log_metrics(
        self, metrics: Mapping[str, float], *, step: int | None = None, at: float | None = None
    ) -> None:
        """See `Tracker.log_metrics`; values without a step go to the summary."""
        fresh = self._points.check(metrics, step)
        values = {name: value for name, value in fresh.items() if value is not None}
        if step is None:
            self._run.summary.update(values)
        elif self._hides_times:
            self._rows.append((step, values))
        else:
            self._run.log({**values, "_timestamp": now() if at is None else at}, step=step)
        self._points.keep(metrics, step)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """See `Tracker.set_tags`; the description becomes the notes of the run."""
        fresh = {name: redact(text) for name, text in taggable(tags).items()}
        if _DESCRIPTION in fresh:
            self._run.notes = fresh.pop(_DESCRIPTION)
        named = {f"tag/{name}": text for name, text in fresh.items()}
        self._run.config.update(named, allow_val_change=True)

    def log_file(self, path: Path, folder: str = "") -> None:
        """See `Tracker.log_file`; predictions are left out."""
        name = check_path(f"{folder}/{path.name}" if folder else path.name)
        if path.suffix in _NOT_SENT:
            return
        target = Path(self._run.dir) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        self._run.save(str(target), base_path=self._run.dir, policy="now")

    def log_dataset(self, dataset: DatasetInput) -> None:
        """See `Tracker.log_dataset`."""
        values = {"name": dataset.name, "digest": dataset.digest, "counts": plain(dataset.counts)}
        self._run.config.update({"data": values}, allow_val_change=True)

    def log_model(self, folder: Path) -> None:
        """Do nothing."""

    def finish(self, status: Status, reason: str | None = None, *, at: float | None = None) -> None:
        """See `Tracker.finish`; status and reason go to the summary."""
        if self._ended:
            return
        for step, values in self._rows:
            self._run.log(values, step=step)
        self._run.summary.update(
            {"status": status} | ({} if reason is None else {"reason": redact(reason)})
        )
        self._run.finish(exit_code=0 if status == "FINISHED" else 1)
        self._ended = True
