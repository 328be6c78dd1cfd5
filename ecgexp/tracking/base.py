"""What every tracker is: the place where a run's parameters, metrics and files are kept, and how it ends.

Names are slash-separated paths (`test/f1/V`, `figures/confusion_matrix.png`). The loop that trains knows only this
protocol, so a run tracked in MLflow, in its own folder, in memory or nowhere is the same run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

Scalar = str | int | float | bool | None
Status = Literal["FINISHED", "FAILED", "KILLED"]
ModelInput = np.ndarray | Mapping[str, np.ndarray]


class TrackerUnavailable(Exception):
    """The place a tracker writes to cannot be reached; what was to be written may be written again later."""


class LoginRefused(TrackerUnavailable):
    """It is there, and refuses who asks; to ask again at once is of no use."""


@dataclass(frozen=True, kw_only=True)
class DatasetInput:
    """The beats a run was made from.

    Attributes:
      name: e.g. `"mitdb 1.0.0"`.
      digest: keyed digest of the beats (`privacy.keyed`), hexadecimal.
      source: where they come from: an address, or words such as `"synthetic, seed 0"`.
      counts: split -> class -> number of beats.
    """

    name: str
    digest: str
    source: str
    counts: Mapping[str, Mapping[str, int]]


@runtime_checkable
class Tracker(Protocol):
    """Keeps one run. Every implementation passes the `TrackerContract` of `tests/tracking/test_contract.py`."""

    @property
    def run_id(self) -> str | None:
        """The run's identity where it is kept, or None where runs have none."""
        ...

    @property
    def url_hint(self) -> str:
        """A line that says where the run can be looked at."""
        ...

    def log_params(self, params: Mapping[str, Scalar]) -> None:
        """Keeps settings under their dotted names (see `params.flatten`); secrets and noise seeds are blotted out.

        Raises:
          ValueError: a name that cannot be kept, or a second, different value for a name.
        """
        ...

    def log_metrics(
        self, metrics: Mapping[str, float], *, step: int | None = None, at: float | None = None
    ) -> None:
        """Keeps values of one step (a 1-based epoch or round), or of the whole run if `step` is None.

        One metric, one step, once. A value that is NaN or infinite is undefined and is not kept as a number.

        Args:
          metrics: name -> value.
          step: see above.
          at: when they were measured, in seconds since 1970; None: now.

        Raises:
          ValueError: a name that cannot be kept, or a metric that this step already has.
        """
        ...

    def discard_points(self, *, after: int) -> None:
        """Takes back the points of the steps beyond `after`, which a run that resumes takes anew.

        A store that never forgets, as MLflow's, keeps the older value beside the newer one, which is its latest.
        """
        ...

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Sets words the runs can be searched by; a later value replaces an earlier one.

        `{"mlflow.parentRunId": …}` makes the run a child in MLflow, `{"mlflow.note.content": …}` its description.
        """
        ...

    def log_figure(self, figure: Any, path: str) -> None:
        """Keeps a matplotlib figure as a picture of the format that `path` ends in."""
        ...

    def log_file(self, path: Path, folder: str = "") -> None:
        """Keeps a copy of the file `path`, under its own name, in `folder`."""
        ...

    def log_text(self, text: str, path: str) -> None:
        """Keeps text."""
        ...

    def log_dict(self, values: Mapping[str, Any], path: str) -> None:
        """Keeps nested values as `.json` or `.yaml`; undefined numbers become null."""
        ...

    def log_table(self, table: Any, path: str) -> None:
        """Keeps a pandas table as `.csv` or `.parquet`."""
        ...

    def log_dataset(self, dataset: DatasetInput) -> None:
        """Keeps what the run was made from."""
        ...

    def log_model(self, folder: Path, *, input_example: ModelInput) -> None:
        """Keeps the classifier in `folder` (as `ecgexp.models.classifier` reads it).

        Args:
          folder: the classifier's folder.
          input_example: (n, window, leads) float32 millivolts; for a model that also wants the RR features, a
            mapping with `signals_mv` (n, window, leads) and `rr` (n, 4).
        """
        ...

    def finish(self, status: Status, reason: str | None = None, *, at: float | None = None) -> None:
        """Ends the run; a second call changes nothing, so that it can stand in a `finally`.

        Args:
          status: how it ended.
          reason: why it did not finish, in words for the user.
          at: when, in seconds since 1970; None: now.
        """
        ...
