"""`result.json`: the results of a run, read and written."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from ecgexp.settings.declaration import DataError
from ecgexp.storage.atomic import replacing
from ecgexp.storage.reading import read_json
from ecgexp.tracking.local.run_json import read_run

Count = Annotated[int, Field(ge=0)]
Epsilon = Annotated[float, Field(ge=0)]


class DataValues(TypedDict, total=False):
    """`data.json`, and `data` of `result.json`: the beats that a run used."""

    database: str
    digest: str
    test_sha256: str
    classes: list[str]
    beats: dict[str, dict[str, Count]]
    patients_are: str
    patients: dict[str, Count]
    dropped: dict[str, Count]
    skipped: dict[str, str]
    quality: "QualityValues"
    demographics: dict[str, dict[str, dict[str, Count]]]
    notes: list[str]


class QualityValues(TypedDict, total=False):
    """Beats in segments without a usable ECG, by reason."""

    choice: str
    marked: dict[str, dict[str, Count]]
    left_out: dict[str, Count]


class MarkedValues(TypedDict, total=False):
    """The scores of a split with and without its marked beats."""

    beats: Count
    marked: dict[str, Count]
    scores: dict[str, dict[str, float | None]]


class PrivacyValues(TypedDict, total=False):
    """`privacy.json`, and `privacy` of `result.json`: the privacy guarantee of a run."""

    guarantee: bool
    simulation: bool
    statement: str
    epsilon: Epsilon | None
    epsilon_if_noise_were_secret: Epsilon | None
    epsilon_overlap: Epsilon | None
    rows_per_unit: Count
    overlapping_rows: Count
    delta: Annotated[float, Field(ge=0, le=1)] | None
    unit: str
    neighboring_relation: str
    accountant: str
    num_units: Count | None
    steps: Count
    noise_multiplier: Annotated[float, Field(ge=0)] | None
    not_covered: list[str]
    publish: str
    event: dict[str, Any]


class SelectionValues(TypedDict, total=False):
    """The selected epoch."""

    step: Count | None
    metric: str
    score: float | None
    kept: str


class EvaluationValues(TypedDict, total=False):
    """The evaluation on test beats, as the log of the store counts it."""

    number: Count
    evaluations: Count
    is_repeat: bool
    test_set: str
    configuration: str
    accuracy_by_patient: float | None
    patients: Count | None
    margin: float | None
    confidence: float | None


class ResultValues(TypedDict):
    """`result.json`; for a run with a privacy guarantee without the withheld values."""

    status: Literal["FINISHED", "FAILED", "KILLED"]
    reason: NotRequired[str | None]
    run_id: NotRequired[str | None]
    seconds: NotRequired[Annotated[float, Field(ge=0)] | None]
    metrics: NotRequired[dict[str, float | None]]
    undefined: NotRequired[dict[str, str]]
    classes_in_average: NotRequired[dict[str, list[str]]]
    quality: NotRequired[dict[str, MarkedValues]]
    notes: NotRequired[dict[str, list[str]]]
    test_evaluation: NotRequired[EvaluationValues | None]
    selection: NotRequired[SelectionValues | None]
    data: NotRequired[DataValues | None]
    privacy: NotRequired[PrivacyValues | None]
    marks: NotRequired[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Result:
    """The end of a run.

    Attributes:
      status: how it ended.
      reason: why it did not finish; None if it did.
      run_id: of the MLflow run; None without one.
      seconds: from the start of the run to its end.
      metrics: every final metric, `<split>/<metric>[/<class>]`.
      undefined: metric -> why it has no value.
      classes_in_average: split -> classes with at least one true beat, over which macro F1 and
        other averages are taken.
      quality: split -> its beats in segments without a usable ECG, by reason, and its scores with
        and without them.
      notes: subject (`classes`, `training`, `selection`, `test`, …) -> limits of the scores, in
        sentences.
      test_evaluation: how often the store has evaluated on these test beats, and what that allows
        to say; None without an evaluation on test beats.
      selection: the selected epoch and the score that selected it.
      data: database, digest and beats of each class in each split.
      privacy: the privacy guarantee and its ε; None where none was requested.
      marks: further values that the experiment adds; usually empty.
    """

    status: Literal["FINISHED", "FAILED", "KILLED"]
    reason: str | None = None
    run_id: str | None = None
    seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)
    classes_in_average: Mapping[str, Sequence[str]] = field(default_factory=dict)
    quality: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    test_evaluation: Mapping[str, Any] | None = None
    selection: Mapping[str, Any] | None = None
    data: Mapping[str, Any] | None = None
    privacy: Mapping[str, Any] | None = None
    marks: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write `result.json` atomically and return its path."""
        path = folder / "result.json"
        with replacing(path) as part:
            part.write_text(
                json.dumps(_finite(asdict(self)), indent=2, allow_nan=False), encoding="utf-8"
            )
        return path


def read_result(folder: Path) -> Result:
    """Read the result in the folder of a run that has ended.

    Raises:
      DataError: there is none, or it is damaged.
    """
    path, fix = (
        folder / "result.json",
        "restore the file from a copy, or start the run again in another folder",
    )
    values = read_json(path, ResultValues, fix=fix)
    known: dict[str, Any] = {
        name: values[name] for name in Result.__dataclass_fields__ if name in values
    }
    known["metrics"] = {
        name: value for name, value in values.get("metrics", {}).items() if value is not None
    }
    return Result(**known)


def known_run_id(folder: Path) -> str | None:
    """Return the MLflow id of the run in that folder; None if it has none, or there is no run."""
    try:
        return read_run(folder).get("run_id")
    except DataError:
        return None


def is_kept(folder: Path) -> bool:
    """Return whether `result.json` in that folder can be read and is of a finished run."""
    try:
        fix = "restore the file from a copy, or start the run again"
        return read_json(folder / "result.json", ResultValues, fix=fix)["status"] == "FINISHED"
    except DataError:
        return False


def _finite(value: Any) -> Any:
    """Replace undefined numbers by None, because JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
