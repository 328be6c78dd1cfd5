"""The table of scores with and without beats in segments that show no usable ECG."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ecgexp.analysis import formatting
from ecgexp.analysis.report.groups import Configuration
from ecgexp.analysis.report.tables import Table
from ecgexp.analysis.spread import spread
from ecgexp.formatting import count_text

_SCORES = {"accuracy": "accuracy", "macro F1": "macro_f1"}


def quality_table(configurations: Sequence[Configuration], split: str) -> Table | None:
    """Return a row per configuration whose runs found beats without a usable ECG.

    Args:
      configurations: of the page.
      split: `test` or `validation`.

    Returns:
      The table: the beats, the marked ones with the reasons, and scores of all beats and of the
      usable ones, as means over the seeds; None if no run marked a beat.
    """
    marked_of = [(one, _marked(one, split)) for one in configurations]
    groups = [
        [_row(one, runs)]
        for one, runs in marked_of
        if any(sum(each["marked"].values()) for each in runs)
    ]
    if not groups:
        return None
    return Table(
        name="quality",
        caption=f"Scores on the {split} beats with and without those that show no usable ECG",
        columns=[
            "",
            "beats",
            "without a usable ECG",
            *(f"{title}, {which}" for title in _SCORES for which in ("all beats", "usable beats")),
        ],
        groups=groups,
        notes=["No reference beat leaves the other scores of this page because of such a mark."],
    )


def _marked(one: Configuration, split: str) -> list[Mapping[str, Any]]:
    """Return the entry of each run that has one."""
    found = ((row.run.result.get("quality") or {}).get(split) for row in one.rows)
    return [each for each in found if each]


def _row(one: Configuration, runs: Sequence[Mapping[str, Any]]) -> list[str]:
    reasons = Counter[str]()
    for each in runs:
        reasons.update(each["marked"])
    number = spread(float(sum(each["marked"].values())) for each in runs)
    return [
        f"[{one.number}]",
        formatting.figure(spread(float(each["beats"]) for each in runs)),
        f"{formatting.figure(number)} ({', '.join(_words(reasons, len(runs)))})",
        *(
            formatting.score(spread(each["scores"].get(key, {}).get(which) for each in runs))
            for key in _SCORES.values()
            for which in ("all", "without_marked")
        ),
    ]


def _words(reasons: Counter[str], num_runs: int) -> list[str]:
    return [f"{reason} {count_text(round(n / num_runs))}" for reason, n in reasons.items() if n]
