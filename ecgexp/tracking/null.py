"""The tracker of a run that is not tracked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecgexp.tracking.base import DatasetInput, ModelInput, Scalar, Status
from ecgexp.tracking.checks import Points, check_name, check_path
from ecgexp.tracking.params import loggable


class NullTracker:
    """Stores nothing, and refuses the same names and points as the other trackers."""

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

    def log_model(self, folder: Path, *, input_example: ModelInput) -> None:
        """Do nothing."""

    def finish(self, status: Status, reason: str | None = None, *, at: float | None = None) -> None:
        """Do nothing."""
