"""A learning curve in words, as a table of a terminal and as JSON values."""

import math
from collections.abc import Iterator
from typing import Any

from ecgexp.analysis.learning_curve.curve import LEAST_SEEDS, CurvePoint
from ecgexp.analysis.learning_curve.siblings import SCORE, SEEDS, PatientsNeeded
from ecgexp.formatting import NO_VALUE, score_text

NAME = "macro F1"
_KINDS = {"validation": "validation patients", "test": "out-of-fold patients"}


def kind(found: PatientsNeeded) -> str:
    """Return whose beats the scores are of."""
    return _KINDS[found.split]


def title(found: PatientsNeeded) -> str:
    """Return what the curve is of: one run of a sweep has a name that says its seed and size."""
    if found.num_runs == 1:
        return found.run.name
    return f"{found.num_runs} runs like {found.run.name}"


def interval_text(interval: tuple[float, float] | None) -> str:
    """Return `0.512 to 0.634`, or a dash."""
    if interval is None:
        return NO_VALUE
    low, high = interval
    return f"{score_text(low)} to {score_text(high)}".replace("-", "−")


def rows(found: PatientsNeeded) -> list[list[str]]:
    """Return the rows of the table: patients, runs, mean, interval, range."""
    return [_row(point) for point in found.curve.points]


COLUMNS = ("training patients", "runs", f"mean {NAME}", "95 % interval", "range")


def _row(point: CurvePoint) -> list[str]:
    return [
        str(point.patients),
        str(len(point.known)),
        score_text(point.mean),
        interval_text(point.interval),
        f"{score_text(min(point.known))} to {score_text(max(point.known))}",
    ]


def answer(found: PatientsNeeded) -> str:
    """Return what the runs say, in one sentence."""
    points, gain = found.curve.points, found.curve.gain
    if gain is None:
        return (
            "the runs have one number of training patients, or no seed in common: they do not say "
            "whether more patients would help"
        )
    mean, interval = gain
    sizes = f"from {points[-2].patients} to {points[-1].patients} training patients"
    change = f"{sizes} {NAME} changes by {mean:+.3f}".replace("-", "−")
    if interval is None:
        return f"{change}; it has no interval below {LEAST_SEEDS} seeds"
    shown = f"95 % interval {interval[0]:+.3f} to {interval[1]:+.3f}".replace("-", "−")
    if interval[0] > 0:
        return f"{change} ({shown}): the score still rises, and more patients are likely to help"
    if interval[1] < 0:
        return f"{change} ({shown}): more patients did not help"
    return f"{change} ({shown}): no gain is shown; neither is one of that size excluded"


def notes(found: PatientsNeeded) -> Iterator[str]:
    """Yield what limits the curve, and what comes next."""
    where = "over seeds and folds" if found.split == "test" else "over seeds"
    yield (
        f"scores are on {kind(found)}; intervals are t intervals {where}, which draw other "
        "patients of the same population, so that new patients may differ by more"
    )
    if (more := found.curve.extrapolation) is not None:
        yield (
            f"extrapolation to {more.patients} training patients by a power law: {NAME} "
            f"{score_text(more.score)} ({interval_text(more.interval)} by resampling of seeds, if "
            "the curve continues so); no run had so many"
        )
    if found.command:
        yield f"for a curve with {SEEDS} seeds for each size: {found.command}"


def as_json(found: PatientsNeeded) -> dict[str, Any]:
    """Return the values of `--json`, with stable keys.

    Args:
      found: The curve.
    """
    more, gain = found.curve.extrapolation, found.curve.gain
    return {
        "run": found.run.run_id,
        "score": SCORE,
        "patients_of_scores": "validation" if found.split == "validation" else "out-of-fold",
        "num_runs": found.num_runs,
        "points": [
            {
                "training_patients": point.patients,
                "scores": [None if math.isnan(one) else one for one in point.scores],
                "mean": point.mean,
                "interval": None if point.interval is None else list(point.interval),
            }
            for point in found.curve.points
        ],
        "repetitions": list(found.curve.repetitions),
        "gain": None
        if gain is None
        else {"mean": gain[0], "interval": None if gain[1] is None else list(gain[1])},
        "extrapolation": None
        if more is None
        else {
            "training_patients": more.patients,
            "score": more.score,
            "interval": list(more.interval),
        },
        "answer": answer(found),
        "command": found.command or None,
    }


def render(found: PatientsNeeded) -> Iterator[Any]:
    """Yield what a terminal shows, for `rich`."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    yield Text(f"How many patients? {title(found)}", style="bold")
    if found.is_synthetic:
        yield Text("SYNTHETIC data: the patients are virtual", style="bold red")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for row in rows(found):
        table.add_row(*map(escape, row))
    yield table
    yield Text(answer(found), style="bold")
    for note in notes(found):
        yield Text(f"note: {note}", overflow="fold")
