"""A tracker that writes what a run with a privacy guarantee does not publish to `private/`."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ecgexp.privacy import outputs, publication
from ecgexp.tracking.base import DatasetInput, ReadableTracker, Scalar, Status
from ecgexp.tracking.local.tracker import now
from ecgexp.tracking.private_folder import PrivateFolder


class WithholdingTracker:
    """Passes the outputs that may be published to a tracker, and writes the others to `private/`.

    **Guarantees**: no metric, tag, parameter, file or class count reaches `tracker` unless
    `privacy.outputs.TABLE` lists it as published; an output that the table lacks is withheld.
    Metrics of a step have the time at which the run began, because the time of an epoch reveals how
    many beats were drawn (`tests/unit/tracking/test_withholding.py`).

    Args:
      tracker: receives the published outputs.
      private: receives the withheld outputs.
    """

    def __init__(self, tracker: ReadableTracker, private: PrivateFolder):
        self._tracker, self._private = tracker, private
        self._began = now()

    @property
    def run_id(self) -> str | None:
        """See `Tracker.run_id`."""
        return self._tracker.run_id

    @property
    def url_hint(self) -> str:
        """See `Tracker.url_hint`."""
        return self._tracker.url_hint

    def log_params(self, params: Mapping[str, Scalar]) -> None:
        """See `Tracker.log_params`."""
        published, withheld = _divided("parameter", params)
        self._tracker.log_params(published)
        if withheld:
            self._private.add_values({"params": withheld})

    def log_metrics(
        self, metrics: Mapping[str, float], *, step: int | None = None, at: float | None = None
    ) -> None:
        """See `Tracker.log_metrics`."""
        published, withheld = publication.divide_metrics(metrics)
        self._private.add_metrics(withheld, step)
        if published:
            self._tracker.log_metrics(published, step=step, at=at if step is None else self._began)

    def points(self) -> set[tuple[str, int | None]]:
        """See `ReadableTracker.points`."""
        return self._tracker.points()

    def discard_points(self, *, after: int) -> None:
        """See `ReadableTracker.discard_points`."""
        self._tracker.discard_points(after=after)
        self._private.discard_points(after=after)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """See `Tracker.set_tags`."""
        published, withheld = _divided("tag", tags)
        self._tracker.set_tags(published)
        if withheld:
            self._private.add_values({"tags": withheld})

    def log_figure(self, figure: Any, path: str) -> None:
        """See `Tracker.log_figure`."""
        self._at(path).log_figure(figure, path)

    def log_file(self, path: Path, folder: str = "") -> None:
        """See `Tracker.log_file`."""
        self._at(f"{folder}/{path.name}" if folder else path.name).log_file(path, folder)

    def log_text(self, text: str, path: str) -> None:
        """See `Tracker.log_text`."""
        self._at(path).log_text(text, path)

    def log_dict(self, values: Mapping[str, Any], path: str) -> None:
        """See `Tracker.log_dict`.

        Where the keys of a file are listed one by one, only the published ones.
        """
        entry = publication.find("file", path)
        if entry is not None and entry.keys is not None:
            values, withheld = publication.divide(values, under=entry.keys)
            self._private.log_dict(withheld, path)
        self._at(path).log_dict(values, path)

    def log_table(self, table: Any, path: str) -> None:
        """See `Tracker.log_table`."""
        self._at(path).log_table(table, path)

    def log_dataset(self, dataset: DatasetInput) -> None:
        """See `Tracker.log_dataset`; without counts of training beats."""
        holdout = {name: counts for name, counts in dataset.counts.items() if name != "train"}
        self._tracker.log_dataset(replace(dataset, counts=holdout))
        self._private.add_values({"dataset": asdict(dataset)})

    def log_model(self, folder: Path) -> None:
        """See `Tracker.log_model`.

        `models.saved_classifier.save_classifier` writes only what the table lists.
        """
        self._tracker.log_model(folder)

    def finish(self, status: Status, reason: str | None = None, *, at: float | None = None) -> None:
        """See `Tracker.finish`.

        `Withholding.error` has replaced a reason that may not be published.
        """
        self._tracker.finish(status, reason, at=at)

    def _at(self, path: str) -> Any:
        return self._tracker if publication.is_published("file", path) else self._private


def _divided(
    kind: outputs.Kind, values: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    published = {
        name: value for name, value in values.items() if publication.is_published(kind, name)
    }
    return published, {name: value for name, value in values.items() if name not in published}
