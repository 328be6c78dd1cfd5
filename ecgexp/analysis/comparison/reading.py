"""What a comparison reads of stored runs: privacy guarantee, predictions, settings that differ."""

import math
import re
from dataclasses import dataclass

from ecgexp.analysis.find_runs import StoredRun
from ecgexp.evaluation import stored_tables
from ecgexp.evaluation.pairs import Predictions
from ecgexp.settings.declaration import DataError
from ecgexp.tracking.local.result import PrivacyValues
from ecgexp.tracking.params import has_effect

# Settings of values that are computed in addition to the result.
_ADDITIONAL = re.compile(r"federated_baselines\..*|num_resamples|evaluate_on|test")
_ORIGIN = re.compile(r"git\.(commit|dirty)|version\..*|dataset\.(name|digest|test_sha256)")


@dataclass(frozen=True, kw_only=True)
class PrivacyGuarantee:
    """The privacy guarantee of a run.

    Attributes:
      epsilon: ε; None where the run has no guarantee.
      delta: δ; None likewise.
      unit: unit of privacy (beat, record or patient); None likewise.
      rows_per_unit: number of rows for which one heartbeat is accounted.
      overlapping_rows: the most rows that share samples with one heartbeat's window.
      epsilon_overlap: ε of `overlapping_rows` rows together; None without further rows or without a
        known bound.
    """

    epsilon: float | None = None
    delta: float | None = None
    unit: str | None = None
    rows_per_unit: int = 1
    overlapping_rows: int = 1
    epsilon_overlap: float | None = None


def read_guarantee(run: StoredRun) -> PrivacyGuarantee:
    """Read the privacy guarantee of a finished run.

    Raises:
      DataError: its statement is damaged.
    """
    epsilon = run.metrics.get("privacy/epsilon", math.nan)
    if not math.isfinite(epsilon):
        return PrivacyGuarantee()
    stated = run.result.get("privacy") or run.read_json("privacy.json", PrivacyValues) or {}
    rows = {name: int(stated.get(name) or 1) for name in ("rows_per_unit", "overlapping_rows")}
    return PrivacyGuarantee(
        epsilon=epsilon,
        delta=run.metrics.get("privacy/delta"),
        unit=run.params.get("privacy.unit"),
        epsilon_overlap=stated.get("epsilon_overlap"),
        **rows,
    )


def read_predictions(run: StoredRun, split: str) -> Predictions:
    """Read the predictions of `run` for the beats of `split`.

    Raises:
      DataError: it stored none, or they cannot be read.
    """
    path = f"predictions/{split}.parquet"
    file = run.artifact(path)
    if file is None:
        raise DataError(
            f"run {run.name} ({run.run_id}) has no {path}: it did not finish, was not evaluated on "
            f"{split} beats, or is the parent of a sweep; use a finished run with "
            f"evaluate_on=[{split}], or a single run of the sweep"
        )
    found = stored_tables.read_predictions(file, fix=run.fix)
    if not len(found.samples):
        raise DataError(
            f"{file} of run {run.name} holds no beats: there is nothing to compare; use another "
            "split"
        )
    return Predictions(
        records=found.records,
        samples=found.samples,
        patients=found.patients,
        classes=found.classes,
        predicted=found.predicted,
        class_names=found.class_names,
        probabilities=found.probabilities,
    )


@dataclass(frozen=True, kw_only=True)
class Differing:
    """One value that is not the same in both runs.

    Attributes:
      name: of the setting or tag.
      a: A's value; None where A has none.
      b: B's.
    """

    name: str
    a: str | None
    b: str | None


@dataclass(frozen=True, kw_only=True)
class Differences:
    """Everything that differs between two runs and can affect the result.

    Attributes:
      settings: of the configuration, by name.
      origin: code, versions and data, by name.
    """

    settings: tuple[Differing, ...]
    origin: tuple[Differing, ...]

    @property
    def only_seed(self) -> bool:
        """Whether the runs are two seeds of one configuration."""
        return [row.name for row in self.settings] == ["seed"] and not self.origin

    @property
    def none(self) -> bool:
        """Whether neither a setting nor code, versions or data differ."""
        return not self.settings and not self.origin


def differences(a: StoredRun, b: StoredRun) -> Differences:
    """Compare the settings and the provenance of two runs."""
    settings = [
        Differing(name=name, a=a.params.get(name), b=b.params.get(name))
        for name in sorted({*a.params, *b.params})
        if has_effect(name)
        and not _ADDITIONAL.fullmatch(name)
        and a.params.get(name) != b.params.get(name)
    ]
    origin = [
        Differing(name=name, a=a.tags.get(name), b=b.tags.get(name))
        for name in sorted({*a.tags, *b.tags})
        if _ORIGIN.fullmatch(name) and a.tags.get(name) != b.tags.get(name)
    ]
    return Differences(settings=tuple(settings), origin=tuple(origin))
