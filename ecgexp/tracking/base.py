"""The tracker protocols: what stores a run's parameters, metrics and files, and how it ended.

A `Tracker` writes. A `ReadableTracker` also knows what it has stored, which `resume=` and
`ecgexp-sync` need.

Names are slash-separated paths (`test/f1/V`, `figures/confusion_matrix.png`). The training loop
uses only this protocol, so a run gives the same results whether it is tracked in MLflow, in its own
folder, in memory or not at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

Scalar = str | int | float | bool | None
Status = Literal["FINISHED", "FAILED", "KILLED"]


class TrackerUnavailable(Exception):
    """The destination of a tracker cannot be reached; the same entry may be written again later."""


class LoginRefused(TrackerUnavailable):
    """The destination answers and refuses the login; an immediate retry cannot succeed."""


@dataclass(frozen=True, kw_only=True)
class DatasetInput:
    """The beats that a run used.

    Attributes:
      name: e.g. `"mitdb 1.0.0"`.
      digest: keyed digest of the beats (`privacy.keyed`), hexadecimal.
      source: where they come from: an address, or a description such as `"synthetic, seed 0"`.
      counts: split -> class -> number of beats.
    """

    name: str
    digest: str
    source: str
    counts: Mapping[str, Mapping[str, int]]


@runtime_checkable
class Tracker(Protocol):
    """Stores one run.

    **Guarantees**: every implementation passes `TrackerContract`
      (`tests/support/tracker_contract.py`).
    """

    @property
    def run_id(self) -> str | None:
        """The run's id in the store, or None where runs have no id."""
        ...

    @property
    def url_hint(self) -> str:
        """One line that says where the run can be viewed."""
        ...

    def log_params(self, params: Mapping[str, Scalar]) -> None:
        """Store settings under their dotted names (see `params.flatten`).

        Secrets and noise seeds are redacted.

        Args:
          params: dotted name -> value.

        Raises:
          ValueError: an invalid name, or a second, different value for a name.
        """
        ...

    def log_metrics(
        self, metrics: Mapping[str, float], *, step: int | None = None, at: float | None = None
    ) -> None:
        """Store values of one step (epoch or round, from 1), or of the whole run if `step` is None.

        Each metric has one value per step. A value that is NaN or infinite is undefined and is not
        stored as a number.

        Args:
          metrics: name -> value.
          step: epoch or round, from 1; None for the whole run.
          at: time of measurement, in seconds since 1970; None: now.

        Raises:
          ValueError: an invalid name, or a metric that already has a value at this step.
        """
        ...

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags, by which runs can be searched; a later value replaces an earlier one.

        `{"mlflow.parentRunId": …}` makes the run a child in MLflow, `{"mlflow.note.content": …}`
        its description.
        """
        ...

    def log_figure(self, figure: Any, path: str) -> None:
        """Store a matplotlib figure as an image; the suffix of `path` gives the format."""
        ...

    def log_file(self, path: Path, folder: str = "") -> None:
        """Store a copy of the file `path`, under its own name, in `folder`."""
        ...

    def log_text(self, text: str, path: str) -> None:
        """Store text."""
        ...

    def log_dict(self, values: Mapping[str, Any], path: str) -> None:
        """Store nested values as `.json` or `.yaml`; undefined numbers become null."""
        ...

    def log_table(self, table: Any, path: str) -> None:
        """Store a pandas table as `.csv` or `.parquet`."""
        ...

    def log_dataset(self, dataset: DatasetInput) -> None:
        """Store the name, digest and counts of the beats that the run used."""
        ...

    def log_model(self, folder: Path) -> None:
        """Store the classifier in `folder` (in the format of `models.saved_classifier`)."""
        ...

    def finish(self, status: Status, reason: str | None = None, *, at: float | None = None) -> None:
        """End the run.

        A second call changes nothing, so that it can be called in a `finally` block.

        Args:
          status: how it ended.
          reason: why it did not finish, as text for the user.
          at: time of the end, in seconds since 1970; None: now.
        """
        ...


@runtime_checkable
class ReadableTracker(Tracker, Protocol):
    """A tracker whose points can be read again, so that the run can be resumed.

    **Guarantees**: every implementation passes `ReadableContract`
      (`tests/support/tracker_contract.py`).
    """

    def points(self) -> set[tuple[str, int | None]]:
        """Return the points (metric, step) that are stored, those of earlier sessions included."""
        ...

    def discard_points(self, *, after: int) -> None:
        """Discard the points of the steps after `after`, which a resumed run measures again.

        MLflow cannot delete points: its store keeps the older value as well, and the newer one is
        the latest.

        Args:
          after: last step whose points stay.
        """
        ...
