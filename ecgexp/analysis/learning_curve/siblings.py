"""Runs that differ from a run in the number of training patients and the seed only."""

import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ecgexp.analysis.find_runs import StoredRun, find_run
from ecgexp.analysis.learning_curve.curve import LearningCurve, learning_curve
from ecgexp.analysis.report.groups import relevant
from ecgexp.analysis.run_list import ListedRun, list_runs
from ecgexp.settings.declaration import DataError
from ecgexp.tracking.debug_mark import DEBUG
from ecgexp.tracking.local.run_json import NAME

SCORE = "macro_f1"
SEEDS = 5
"""Seeds of the command that is suggested: its intervals are half as wide as those of three."""

_NUMBER, _FOLD = "split.num_train_patients", "split.fold"
_VARIED = (_NUMBER, _FOLD, "seed", "evaluate_on", "test")
_SIZES = 4


@dataclass(frozen=True, kw_only=True)
class PatientsNeeded:
    """What runs say about the number of patients that are needed.

    Attributes:
      run: The run that was asked about.
      split: Whose beats the scores are of: `validation`, or `test` for the folds of a
        cross-validation, which are out-of-fold scores.
      num_runs: Runs of the curve.
      curve: Its points; without any if no run states its number of training patients.
      command: The sweep that makes the curve; empty if the runs have enough sizes and seeds.
      is_synthetic: Whether the patients are virtual.
    """

    run: StoredRun
    split: str
    num_runs: int
    curve: LearningCurve
    command: str
    is_synthetic: bool


def patients_needed(run: StoredRun, *, store: str | None = None) -> PatientsNeeded:
    """Find the runs of a learning curve.

    **Guarantees**: Scores are those of validation patients, or of the folds of a cross-validation
    over training data; scores on a test set are not read
    (`tests/unit/analysis/test_learning_curve.py`).

    Args:
      run: One of them.
      store: URI of the MLflow store; None: as `list_runs`.

    Returns:
      The curve of all finished runs that differ in the number of training patients, the seed and
      the fold only.

    Raises:
      DataError: The split of the run cannot train on fewer patients.
    """
    if _NUMBER not in run.params:
        raise DataError(
            f"run {run.name}: its split does not divide patients, so that it says nothing about "
            "their number; use a run with split=inter_patient or split=patient_kfold"
        )
    is_folded = _FOLD in run.params
    split = "test" if is_folded else "validation"
    wanted = _configuration(run)
    runs = [one for one in _candidates(run, store) if _configuration(one) == wanted]
    scores: dict[tuple[int, str], float] = {}
    for one in runs:  # the newest of equal runs is used
        number = _num_patients(one)
        score = one.metrics.get(f"{split}/{SCORE}", math.nan)
        if number is None or f"{split}/{SCORE}" not in one.metrics:
            continue
        seed = one.params.get("seed", "0")
        fold = f" fold {one.params[_FOLD]}" if is_folded else ""
        scores.setdefault((number, f"{seed}{fold}"), score)
    curve = learning_curve(scores)
    name = run.tags.get("dataset.name", "")
    return PatientsNeeded(
        run=run,
        split=split,
        num_runs=len(scores),
        curve=curve,
        command=_command(run, curve),
        is_synthetic=name.startswith("synthetic"),
    )


def _configuration(run: StoredRun) -> dict[str, str]:
    found = relevant(run.params)
    return {name: value for name, value in found.items() if name not in _VARIED}


def _candidates(run: StoredRun, store: str | None) -> Iterator[StoredRun]:
    """Yield the run and all other finished runs, newest first."""
    yield run
    seen = {run.run_id}
    beside = Path(run.run_id).parent if Path(run.run_id).is_dir() else None
    folders = [] if beside is None else [one.parent for one in sorted(beside.glob(f"*/{NAME}"))]
    names = [str(folder) for folder in folders]
    names += [_name(one) for one in list_runs(uri=store).runs if _may_belong(one, run)]
    for name in names:
        try:
            found = find_run(name, uri=store)
        except DataError:  # e.g. deleted meanwhile; `ecgexp-runs` says so
            continue
        if found.run_id not in seen and found.status == "FINISHED" and DEBUG not in found.tags:
            seen.add(found.run_id)
            yield found


def _name(run: ListedRun) -> str:
    return run.run_id if run.run_id and run.in_store else str(run.folder)


def _may_belong(run: ListedRun, to: StoredRun) -> bool:
    same = ("trainer._target_", "model._target_")
    return run.status == "FINISHED" and all(
        run.params.get(name) == to.params.get(name) for name in same
    )


def _num_patients(run: StoredRun) -> int | None:
    """Return the number of training patients; None if the run does not state it."""
    stated = run.params.get(_NUMBER, "None")
    if stated not in ("None", ""):
        return int(float(stated))
    plan = run.read_json("plan.json") or {}
    splits: Mapping[str, Mapping[str, int]] = plan.get("splits") or {}
    return (splits.get("train") or {}).get("patients")


def _command(run: StoredRun, curve: LearningCurve) -> str:
    """Return the sweep that makes the curve; empty if there is enough of it."""
    complete = [point for point in curve.points if len(point.known) >= SEEDS]
    if len(complete) >= _SIZES:
        return ""
    largest = max((point.patients for point in curve.points), default=_num_patients(run) or 16)
    sizes = sorted({max(2, math.ceil(largest / 2**power)) for power in range(_SIZES)})
    words = shlex.split(run.tags.get("command", "") or "ecgexp")
    kept = [word for word in words[1:] if not _is_varied(word)]
    folds = int(float(run.params.get("split.num_folds", "0")))
    varied = [
        *([f"{_FOLD}={','.join(map(str, range(folds)))}"] if folds else []),
        f"{_NUMBER}={','.join(map(str, sizes))}",
        f"seed={','.join(map(str, range(SEEDS)))}",
        *([] if folds else ["evaluate_on=[validation]"]),
    ]
    return shlex.join(["ecgexp", "-m", *kept, *varied])


def _is_varied(word: str) -> bool:
    name = word.lstrip("+").partition("=")[0]
    return word in ("-m", "--multirun") or name in _VARIED or name.startswith("hydra.")
