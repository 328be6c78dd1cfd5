"""The metrics of a run that are sent to MLflow: at most 30, in the order in which it lists them.

MLflow makes a chart, a column and an entry of its comparison page of every metric, so the hundreds
of a run would hide the few that are read. The others are in the run's `result.json` and in
`tables/learning_curves.csv`, which MLflow has as files.
"""

from collections.abc import Mapping
from typing import TypeVar

V = TypeVar("V")

MOST = 30

_SCORES = (
    "macro_f1",
    "accuracy",
    "balanced_accuracy",
    "kappa",
    "jk_index",
    "auroc_macro",
    "auprc_macro",
    "loss",
    "expected_calibration_error",
)

HEADLINE = (
    *(f"validation/{name}" for name in _SCORES),
    *(f"test/{name}" for name in _SCORES),
    *(f"curve/validation/{name}" for name in ("macro_f1", "accuracy", "loss")),
    "test/clients/accuracy_mean",
    "test/clients/accuracy_worst_decile",
    "privacy/epsilon",
    "privacy/epsilon_if_noise_were_secret",
    "privacy/epsilon_spent",
    "privacy/delta",
    "privacy/noise_multiplier",
    "resources/seconds",
    "resources/peak_memory_mb",
)
"""The metrics of a run in MLflow.

MLflow's comparison page selects the first metric that all runs have; those of training are not
there, because a model is never chosen by them.
"""

OF_A_SWEEP = "sweep/"
"""Metrics of the parent run of a sweep, which has no others."""

OF_LEFT_OUT = "left_out/"
"""Metrics of a run of `ecgexp-leave-one-out`: scores, the F1 of each class, and their intervals."""

_ORDER = {name: position for position, name in enumerate(HEADLINE)}


def headline(metrics: Mapping[str, V]) -> dict[str, V]:
    """Return the metrics that are sent to MLflow, in the order of `HEADLINE`.

    **Guarantees**: the metrics of all calls together have at most `MOST` names, apart from those of
    a sweep's parent run and of `ecgexp-leave-one-out` (`tests/unit/tracking/test_headline.py`).

    Args:
      metrics: name -> value.

    Example:
      >>> headline({"curve/train/loss": 0.2, "test/f1/V": 0.8, "test/macro_f1": 0.9})
      {'test/macro_f1': 0.9}
    """
    kept = [
        name
        for name in metrics
        if name in _ORDER or name.startswith(OF_A_SWEEP) or _is_of_left_out(name)
    ]
    return {name: metrics[name] for name in sorted(kept, key=lambda name: _ORDER.get(name, MOST))}


def _is_of_left_out(name: str) -> bool:
    score = name.removeprefix(OF_LEFT_OUT).partition("/")[0]
    return name.startswith(OF_LEFT_OUT) and (
        score.removesuffix("_ci_low").removesuffix("_ci_high") in (*_SCORES, "f1")
    )
