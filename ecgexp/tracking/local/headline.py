"""The headline of a run: the few values that a last line or a script needs."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecgexp.data.beats import patients_note
from ecgexp.formatting import duration_text, epsilon_text, score_text, significant_text
from ecgexp.tracking.debug_mark import DEBUG, meaningless
from ecgexp.tracking.local.result import Result

_SCORES = {"accuracy": "accuracy", "macro_f1": "macro F1", "jk_index": "jk index"}
_SPLITS = ("validation", "test")


def headline(result: Result, run_dir: Path | None) -> dict[str, Any]:
    """Return the headline as JSON-serializable values, which `console.json=true` prints.

    Args:
      result: how the run ended, as published.
      run_dir: folder of the run; None if the run has none.

    Returns:
      `status`, `reason`, `folder`, `run_id`, `seconds`, `scores` (metric -> score; null if it is
      undefined), `debug` (the preset of a debug run, whose scores mean nothing; else null), and
      `epsilon`, `delta`, `unit`, `noise_multiplier`, all null without a privacy guarantee, except
      that a simulation has a noise multiplier.
    """
    privacy = result.privacy or {}
    return {
        "status": result.status,
        "reason": result.reason,
        "folder": None if run_dir is None else str(run_dir.absolute()),
        "run_id": result.run_id,
        "seconds": result.seconds,
        "scores": headline_scores({**dict.fromkeys(result.undefined), **result.metrics}),
        "debug": result.marks.get(DEBUG),
        "epsilon": privacy.get("epsilon"),
        "delta": privacy.get("delta") if privacy.get("guarantee") else None,
        "unit": privacy.get("unit") if privacy.get("guarantee") else None,
        "noise_multiplier": privacy.get("noise_multiplier"),
    }


def headline_scores(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the headline scores of each evaluated split: `<split>/<metric>` -> score.

    Args:
      metrics: final metrics; None or NaN where a score is undefined.
    """
    found = {
        name: metrics[name]
        for name in (f"{split}/{score}" for split in _SPLITS for score in _SCORES)
        if name in metrics
    }
    return {
        name: None if score is None or math.isnan(score) else score for name, score in found.items()
    }


def last_line(result: Result) -> str:
    r"""Return the last line of a finished run: its time, guarantee and scores.

    Example:
      >>> last_line(Result(status="FINISHED", seconds=12, metrics={"test/accuracy": 0.912}))
      'finished in 12\xa0s · test: accuracy 0.912'
    """
    parts = [f"finished in {duration_text(result.seconds)}", *_guarantee(result.privacy)]
    known = {**dict.fromkeys(result.undefined), **result.metrics}
    scores, caveat = scores_text(known), patients_note((result.data or {}).get("patients_are", ""))
    parts += [f"{scores} ({caveat})" if caveat else scores] if scores else []
    if (preset := result.marks.get(DEBUG)) is not None:
        parts.append(meaningless(preset))
    return " · ".join(parts)


def scores_text(metrics: Mapping[str, float | None]) -> str:
    """Return the headline scores of the last evaluated split; empty if there are none.

    Example:
      >>> scores_text({"test/accuracy": 0.912, "validation/accuracy": 0.9})
      'test: accuracy 0.912'
    """
    split = next((one for one in reversed(_SPLITS) if _of(metrics, one)), None)
    return "" if split is None else f"{split}: {', '.join(_of(metrics, split))}"


def _of(found: Mapping[str, float | None], split: str) -> list[str]:
    return [
        f"{shown} {score_text(found[f'{split}/{name}'])}"
        for name, shown in _SCORES.items()
        if f"{split}/{name}" in found
    ]


def _guarantee(privacy: Mapping[str, Any] | None) -> list[str]:
    if privacy is None:
        return []
    noise = f"noise multiplier {significant_text(privacy.get('noise_multiplier'))}"
    if not privacy.get("guarantee"):
        kind = "simulation" if privacy.get("simulation") else "run"
        return [f"{kind} without a privacy guarantee, {noise}"]
    epsilon, delta = epsilon_text(privacy.get("epsilon")), privacy.get("delta")
    return [f"ε = {epsilon} (δ {delta:g}, unit: {privacy.get('unit')}), {noise}"]
