"""What a run leaves in its folder for whoever reads it next, person or script: `result.json`."""

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
    """`data.json`, and `data` of `result.json`: what a run was made from."""

    database: str
    digest: str
    test_sha256: str
    classes: list[str]
    beats: dict[str, dict[str, Count]]
    patients: dict[str, Count]
    dropped: dict[str, Count]
    notes: list[str]


class PrivacyValues(TypedDict, total=False):
    """`privacy.json`, and `privacy` of `result.json`: the guarantee of a run."""

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
    """Which epoch was kept."""

    step: Count | None
    metric: str
    score: float | None
    kept: str


class ResultValues(TypedDict):
    """`result.json`; of a run with a privacy guarantee without what is withheld."""

    status: Literal["FINISHED", "FAILED", "KILLED"]
    reason: NotRequired[str | None]
    run_id: NotRequired[str | None]
    seconds: NotRequired[Annotated[float, Field(ge=0)] | None]
    metrics: NotRequired[dict[str, float | None]]
    undefined: NotRequired[dict[str, str]]
    classes_in_average: NotRequired[dict[str, list[str]]]
    notes: NotRequired[dict[str, list[str]]]
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
      classes_in_average: split -> the classes with a true beat, over which its macro F1 and other averages were taken.
      notes: what they are about (`classes`, `training`, `selection`, `test`, …) -> what the scores do not rest on, in sentences.
      selection: which epoch was kept and by which score.
      data: database, digest and beats of each class in each split.
      privacy: the promise and its price; None where none was made.
      marks: what the experiment says of itself, beside its results; usually nothing.
    """

    status: Literal["FINISHED", "FAILED", "KILLED"]
    reason: str | None = None
    run_id: str | None = None
    seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)
    classes_in_average: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    selection: Mapping[str, Any] | None = None
    data: Mapping[str, Any] | None = None
    privacy: Mapping[str, Any] | None = None
    marks: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Writes `result.json` whole or not at all."""
        path = folder / "result.json"
        with replacing(path) as part:
            part.write_text(
                json.dumps(_finite(asdict(self)), indent=2, allow_nan=False), encoding="utf-8"
            )
        return path


def read_result(folder: Path) -> Result:
    """The result in the folder of a run that has ended.

    Raises:
      DataError: there is none, or it is damaged.
    """
    path, fix = (
        folder / "result.json",
        "restore the file from a copy, or start the run anew in another folder",
    )
    values = read_json(path, ResultValues, fix=fix)
    known = {name: values[name] for name in Result.__dataclass_fields__ if name in values}
    metrics = {
        name: value for name, value in values.get("metrics", {}).items() if value is not None
    }
    return Result(**known | {"metrics": metrics})


def known_run_id(folder: Path) -> str | None:
    """The MLflow id of the run in that folder; None if it has none, or there is no run."""
    try:
        return read_run(folder).get("run_id")
    except DataError:
        return None


def is_kept(folder: Path) -> bool:
    """Whether `result.json` in that folder can be read and is of a run that finished."""
    try:
        fix = "restore the file from a copy, or make the run again"
        return read_json(folder / "result.json", ResultValues, fix=fix)["status"] == "FINISHED"
    except DataError:
        return False


def _finite(value: Any) -> Any:
    """JSON knows no NaN: an undefined number becomes null."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
