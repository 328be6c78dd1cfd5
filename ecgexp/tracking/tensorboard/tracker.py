"""The tracker that writes TensorBoard's event files, beside the other files of a run."""

from collections.abc import Mapping
from pathlib import Path

from ecgexp.settings.installation import to_type
from ecgexp.settings.redaction import redact
from ecgexp.tracking.base import DatasetInput, Scalar, Status
from ecgexp.tracking.checks import Points, check_params, check_path
from ecgexp.tracking.local.artifact_files import FileArtifacts
from ecgexp.tracking.local.tracker import now
from ecgexp.tracking.params import loggable, taggable
from ecgexp.tracking.tensorboard.events import EventFile, read_points

_DESCRIPTION = "mlflow.note.content"
_TEXTS = (".md", ".txt")


class TensorboardTracker(FileArtifacts):
    """Writes metrics as scalars, images as images, and parameters, tags and texts as texts.

    Other files, the dataset and the model are in the folder of the run only.

    Args:
      folder: receives the event files; points of earlier sessions in it are not written again.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._points = Points(self.points())
        self._events = EventFile(folder)
        self._params: dict[str, Scalar] = {}
        self._tags: dict[str, str] = {}
        self._ended = False

    @property
    def run_id(self) -> str | None:
        """None: TensorBoard names runs by their folders."""
        return None

    @property
    def url_hint(self) -> str:
        """The command that shows the run."""
        return to_type(["tensorboard", "--logdir", str(self._folder)])

    def points(self) -> set[tuple[str, int | None]]:
        """See `ReadableTracker.points`."""
        found = read_points(self._folder)
        # Steps count from 1: step 0 stands for None.
        return {(name, step or None) for name, points in found.items() for step in points}

    def log_params(self, params: Mapping[str, Scalar]) -> None:
        """See `Tracker.log_params`."""
        fresh = loggable(params)
        check_params(fresh, self._params)
        self._params.update(fresh)
        self._events.text("parameters", _table(self._params), at=now())

    def log_metrics(
        self, metrics: Mapping[str, float], *, step: int | None = None, at: float | None = None
    ) -> None:
        """See `Tracker.log_metrics`; a value without a step is written at step 0."""
        fresh = self._points.check(metrics, step)
        values = {name: value for name, value in fresh.items() if value is not None}
        if values:
            self._events.scalars(values, step=step or 0, at=now() if at is None else at)
        self._points.keep(metrics, step)

    def discard_points(self, *, after: int) -> None:
        """See `ReadableTracker.discard_points`; the event files keep the older values unshown."""
        if any(step is not None and step > after for _, step in self.points()):
            self._events.purge(after=after, at=now())
        self._points.discard(after=after)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """See `Tracker.set_tags`."""
        fresh = taggable(tags)
        if _DESCRIPTION in fresh:
            self._events.text("description", redact(fresh.pop(_DESCRIPTION)), at=now())
        if fresh:
            self._tags.update({name: redact(text) for name, text in fresh.items()})
            self._events.text("tags", _table(self._tags), at=now())

    def log_file(self, path: Path, folder: str = "") -> None:
        """See `Tracker.log_file`; files that are neither PNG nor text are left out."""
        name = check_path(f"{folder}/{path.name}" if folder else path.name)
        if path.suffix == ".png":
            self._events.image(name, path.read_bytes(), at=now())
        elif path.suffix in _TEXTS:
            self._events.text(name, path.read_text(encoding="utf-8"), at=now())

    def log_dataset(self, dataset: DatasetInput) -> None:
        """Do nothing: the name of the dataset is a tag."""

    def log_model(self, folder: Path) -> None:
        """Do nothing."""

    def finish(self, status: Status, reason: str | None = None, *, at: float | None = None) -> None:
        """See `Tracker.finish`; status and reason are a text."""
        if self._ended:
            return
        text = status if reason is None else f"{status}: {redact(reason)}"
        self._events.text("status", text, at=now() if at is None else at)
        self._events.close()
        self._ended = True


def _table(values: Mapping[str, Scalar]) -> str:
    texts = {name: str(value).replace("|", "\\|") for name, value in values.items()}
    rows = [f"| {name} | {text} |" for name, text in texts.items()]
    return "\n".join(["| name | value |", "| --- | --- |", *rows])
