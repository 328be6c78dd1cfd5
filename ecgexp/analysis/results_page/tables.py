"""The page's tables, as GitHub Markdown."""

import math
from collections.abc import Mapping, Sequence

from ecgexp.analysis.formatting import three_digits
from ecgexp.analysis.results_page.measured import Measured, TestSetEvaluation
from ecgexp.analysis.spread import Spread, interval_of
from ecgexp.evaluation.evaluator import Evaluation
from ecgexp.formatting import epsilon_text

STALE = "stale: the δ rule changed, to be run again"

_PUBLISHED = (
    ("Mondéjar-Guerra 2019, SVM ensemble", "0.945", "0.773", "", ""),
    ("Niu 2020, network with RR and two views", "0.964", "", "0.766", "0.897"),
)


def inter_patient_table(measured: Sequence[Measured], together: Sequence[Evaluation]) -> str:
    """Accuracy, jk index and F1 of S and V.

    Args:
      measured: mean and range over seeds, 95 % intervals by patient below.
      together: of each of these, its runs as one classifier.
    """
    lines = [
        "| | seeds | accuracy | jk index | F1 of S | F1 of V | always N |",
        "| --- | --: | --- | --- | --- | --- | --: |",
    ]
    names = ("accuracy", "jk_index", "f1/S", "f1/V")
    for one, evaluation in zip(measured, together, strict=True):
        cells = [f"{_range(one.score(name))}<br>[{_ends(one.interval(name))}]" for name in names]
        always = f"{one.score('majority/accuracy').mean:.3f}"
        lines.append(
            f"| {one.result_row.label} | {len(one.rows)} | {' | '.join(cells)} | {always} |"
        )
        scores = evaluation.metrics("test")
        cells = [_with_interval(scores, name) for name in names]
        lines.append(
            f"| … the mean of its {len(one.rows)} probabilities | | {' | '.join(cells)} | {always} |"
        )
    lines += [f"| {who} | | {' | '.join(cells)} | |" for who, *cells in _PUBLISHED]
    return "\n".join([*lines, "", *commands(measured)])


def privacy_table(measured: Sequence[Measured]) -> str:
    """Who is promised what, and what is left of the scores."""
    lines = [
        "| promised to | noise | ε (δ) | projected ε | accuracy | F1 of S | F1 of V |",
        "| --- | --: | --- | --: | --- | --- | --- |",
    ]
    for one in measured:
        noise = three_digits(float(one.rows[0].metrics.get("privacy/noise_multiplier", 0.0)))
        guarantee = (
            f"{_epsilon(one.epsilon)} ({one.rows[0].delta if one.is_stale else one.delta:g})"
        )
        if not math.isfinite(one.epsilon.mean):
            guarantee = "∞"
        elif one.is_stale:
            guarantee += f"<br>{STALE}"
        scores = " | ".join(_range(one.score(name)) for name in ("accuracy", "f1/S", "f1/V"))
        projected = (
            ""
            if one.projected is None
            else f"{epsilon_text(one.projected)} of {one.population:,}".replace(",", " ")
        )
        lines.append(f"| {one.result_row.label} | {noise} | {guarantee} | {projected} | {scores} |")
    return "\n".join([*lines, "", *commands(measured)])


def evaluation_log(evaluations_of_test_set: Sequence[TestSetEvaluation]) -> str:
    """Every look at the test beats of DS2, a line each."""
    lines = [
        "| when (UTC) | experiment | run | accuracy | jk index |",
        "| --- | --- | --- | --: | --: |",
    ]
    for evaluation in evaluations_of_test_set:
        jk_index = "" if math.isnan(evaluation.jk_index) else f"{evaluation.jk_index:.3f}"
        lines.append(
            f"| {evaluation.day} | `{evaluation.experiment}` | {evaluation.run} | {evaluation.accuracy:.3f} | {jk_index} |"
        )
    return "\n".join(lines)


def commands(measured: Sequence[Measured]) -> list[str]:
    """What makes the runs of a table, and how long one took."""
    width = max(len(one.result_row.command) for one in measured)
    told = []
    for one in measured:
        seconds = [row.seconds for row in one.rows if row.seconds is not None]
        took = f"  # {min(seconds):.0f} to {max(seconds):.0f} s a run" if seconds else ""
        told.append(f"{one.result_row.command.ljust(width)}{took}")
    return ["```sh", *dict.fromkeys(told), "```"]


def _range(found: Spread) -> str:
    if not found.is_defined:
        return "undefined"
    text = (
        f"{found.mean:.3f} ({found.low:.3f}–{found.high:.3f})"
        if found.count > 1
        else f"{found.mean:.3f}"
    )
    return (
        f"{text}, undefined in {found.undefined} of {found.count + found.undefined}"
        if found.undefined
        else text
    )


def _with_interval(scores: Mapping[str, float], name: str) -> str:
    if f"test/{name}" not in scores:
        return "undefined"
    return f"{scores[f'test/{name}']:.3f}<br>[{_ends(interval_of(scores, 'test', name) or (math.nan, math.nan))}]"


def _ends(interval: tuple[float, float]) -> str:
    return ", ".join(f"{end:.3f}" for end in interval)


def _epsilon(found: Spread) -> str:
    low, high = epsilon_text(found.low), epsilon_text(found.high)
    return low if low == high else f"{low}–{high}"
