"""What a run leaves in its folder for whoever reads it next, person or script: `result.json`."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ecgexp._files import replacing
from ecgexp._reading import read_json, refusal


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
      flaws: the faults that were repeated on purpose; None, and left out of the file, where there were none.
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
    flaws: Mapping[str, Any] | None = None

    def write(self, folder: Path) -> Path:
        """Writes `result.json` whole or not at all."""
        path = folder / "result.json"
        with replacing(path) as part:
            values = {name: value for name, value in asdict(self).items() if name != "flaws" or value is not None}
            part.write_text(json.dumps(_finite(values), indent=2, allow_nan=False), encoding="utf-8")
        return path


def read_result(folder: Path) -> Result:
    """The result in the folder of a run that has ended.

    Raises:
      DataError: there is none, or it is damaged.
    """
    path, fix = folder / "result.json", "restore the file from a copy, or start the run anew in another folder"
    values = read_json(path, dict, fix=fix)
    try:
        metrics = {name: value for name, value in values.get("metrics", {}).items() if value is not None}
        return Result(**values | {"metrics": metrics})
    except (TypeError, AttributeError) as error:
        raise refusal(path, f"is damaged: {error}", fix=fix) from error


def known_run_id(folder: Path) -> str | None:
    """The MLflow id of the run in that folder; None if it has none, or there is no run."""
    try:
        return json.loads((folder / "run.json").read_text(encoding="utf-8"))["run_id"]
    except (OSError, ValueError, KeyError):
        return None


def _finite(value: Any) -> Any:
    """JSON knows no NaN: an undefined number becomes null."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
