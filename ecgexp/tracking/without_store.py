"""Trackers that write no file: one stores nothing, the other holds a run in memory."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecgexp.settings.redaction import redact
from ecgexp.tracking.base import DatasetInput, Scalar, Status
from ecgexp.tracking.checks import Points, check_name, check_params, check_path
from ecgexp.tracking.params import loggable, taggable


class NullTracker:
    """Stores nothing, for a run that is not tracked.

    It refuses the same names and points as the other trackers.
    """

    run_id: str | None = None
    url_hint: str = "the run was not tracked"

    def __init__(self):
        self._points = Points()

    def log_params(self, params: Mapping[str, Scalar]) -> None:
        """Check the names."""
        loggable(params)

    def log_metrics(
        self, metrics: Mapping[str, float], *, step: int | None = None, at: float | None = None
    ) -> None:
        """Check the names, and that each point is logged once."""
        self._points.check(metrics, step)
        self._points.keep(metrics, step)

    def points(self) -> set[tuple[str, int | None]]:
        """Return no points."""
        return set()

    def discard_points(self, *, after: int) -> None:
        """Accept those points again."""
        self._points.discard(after=after)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Check the names."""
        for name in tags:
            check_name(name, kind="tag")

    def log_figure(self, figure: Any, path: str) -> None:
        """Check the path."""
        check_path(path)

    def log_file(self, path: Path, folder: str = "") -> None:
        """Check the path."""
        check_path(f"{folder}/{path.name}" if folder else path.name)

    def log_text(self, text: str, path: str) -> None:
        """Check the path."""
        check_path(path)

    def log_dict(self, values: Mapping[str, Any], path: str) -> None:
        """Check the path."""
        check_path(path)

    def log_table(self, table: Any, path: str) -> None:
        """Check the path."""
        check_path(path)

    def log_dataset(self, dataset: DatasetInput) -> None:
        """Do nothing."""

    def log_model(self, folder: Path) -> None:
        """Do nothing."""

    def finish(self, status: Status, reason: str | None = None, *, at: float | None = None) -> None:
        """Do nothing."""


class MemoryTracker:
    """Stores everything in attributes, unchanged; for tests and notebooks.

    Attributes:
      params: name -> value.
      metrics: name -> [(step, value), …] in the order of the calls; undefined values are left out.
      tags: name -> value.
      artifacts: path -> the figure, text, mapping or table; for a file, its bytes.
      datasets: the beats that the run used.
      models: folders of the models.
      status: None while the run is running.
      reason: why it did not finish.

    Example:
      >>> tracker = MemoryTracker()
      >>> tracker.log_metrics({"train/loss": 0.5}, step=1)
      >>> tracker.metrics["train/loss"]
      [(1, 0.5)]
    """

    def __init__(self):
        self.params: dict[str, Scalar] = {}
        self.metrics: dict[str, list[tuple[int | None, float]]] = defaultdict(list)
        self.tags: dict[str, str] = {}
        self.artifacts: dict[str, Any] = {}
        self.datasets: list[DatasetInput] = []
        self.models: list[Path] = []
        self.status: Status | None = None
        self.reason: str | None = None
        self._points = Points()

    @property
    def run_id(self) -> str | None:
        """None: runs in memory have no id."""
        return None

    @property
    def url_hint(self) -> str:
        """Where the run can be viewed."""
        return "the run is in memory only"

    def log_params(self, params: Mapping[str, Scalar]) -> None:
        """See `Tracker.log_params`."""
        fresh = loggable(params)
        check_params(fresh, self.params)
        self.params.update(fresh)

    def log_metrics(
        self, metrics: Mapping[str, float], *, step: int | None = None, at: float | None = None
    ) -> None:
        """See `Tracker.log_metrics`."""
        for name, value in self._points.check(metrics, step).items():
            if value is not None:
                self.metrics[name].append((step, value))
        self._points.keep(metrics, step)

    def points(self) -> set[tuple[str, int | None]]:
        """See `ReadableTracker.points`."""
        return {(name, step) for name, kept in self.metrics.items() for step, _ in kept}

    def discard_points(self, *, after: int) -> None:
        """See `ReadableTracker.discard_points`."""
        for points in self.metrics.values():
            points[:] = [(step, value) for step, value in points if step is None or step <= after]
        self._points.discard(after=after)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """See `Tracker.set_tags`."""
        self.tags.update(taggable(tags))

    def log_figure(self, figure: Any, path: str) -> None:
        """See `Tracker.log_figure`."""
        self.artifacts[check_path(path)] = figure

    def log_file(self, path: Path, folder: str = "") -> None:
        """See `Tracker.log_file`."""
        self.artifacts[check_path(f"{folder}/{path.name}" if folder else path.name)] = (
            path.read_bytes()
        )

    def log_text(self, text: str, path: str) -> None:
        """See `Tracker.log_text`."""
        self.artifacts[check_path(path)] = text

    def log_dict(self, values: Mapping[str, Any], path: str) -> None:
        """See `Tracker.log_dict`."""
        self.artifacts[check_path(path)] = values

    def log_table(self, table: Any, path: str) -> None:
        """See `Tracker.log_table`."""
        self.artifacts[check_path(path)] = table

    def log_dataset(self, dataset: DatasetInput) -> None:
        """See `Tracker.log_dataset`."""
        self.datasets.append(dataset)

    def log_model(self, folder: Path) -> None:
        """See `Tracker.log_model`."""
        self.models.append(folder)

    def finish(self, status: Status, reason: str | None = None, *, at: float | None = None) -> None:
        """See `Tracker.finish`."""
        if self.status is None:
            self.status, self.reason = status, reason and redact(reason)
