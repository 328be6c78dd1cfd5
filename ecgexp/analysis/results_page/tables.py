"""Tables of published results, as Markdown."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ecgexp.analysis import formatting
from ecgexp.analysis.results_page.groups import PublishedResults, ResultGroup
from ecgexp.analysis.results_page.record import Privacy, PublishedResult
from ecgexp.analysis.spread import Spread
from ecgexp.formatting import count_text, epsilon_text, score_text, significant_text

BASELINE = "majority-class baseline"
_ALIGNED = 130  # characters; longer commands do not affect the alignment

# Metric key -> heading of its column.
NAMES = {
    "test/accuracy": "accuracy",
    "test/macro_f1": "macro F1",
    "test/jk_index": "jk index",
    "test/f1/S": "F1 of S",
    "test/f1/V": "F1 of V",
    "test/f1/A": "F1 of A",
    "test/clients/accuracy_worst_decile": "worst tenth of the clients",
    "federated_baseline/global/own_accuracy_mean": "global model",
    "federated_baseline/local_only/own_accuracy_mean": "each client alone",
    "federated_baseline/personalized/own_accuracy_mean": "global model, fine-tuned by each client",
    "federated_baseline/pooled/own_accuracy_mean": "one model on the pooled beats",
    "federated_baseline/local_only/test_accuracy_mean": (
        "each client alone, on the test beats of all"
    ),
    "federated_baseline/pooled/accuracy": "one model on the pooled beats, on the test beats of all",
}
_MARKS = ("\\*", "†", "‡", "§")


class Footnotes:
    """Footnotes on stale results: a mark in the row, the reason below the table."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}

    def mark(self, group: ResultGroup) -> str:
        """Return the mark of a row; empty if its results are current."""
        if not group.stale:
            return ""
        place = len(self._marks) % len(_MARKS)
        return " " + self._marks.setdefault(group.stale, _MARKS[place])

    def lines(self) -> list[str]:
        """Return the lines below the table."""
        notes = [f"{mark} {text}" for text, mark in self._marks.items()]
        return ["", "<br>\n".join(notes)] if notes else []


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One row of a table.

    Attributes:
      experiment: an option of `experiment=`.
      overrides: see `PublishedResult.overrides`.
      label: description beside the experiment; if empty, the overrides are shown.
    """

    experiment: str
    overrides: tuple[str, ...] = ()
    label: str = ""

    @property
    def text(self) -> str:
        """The first cell."""
        more = self.label or " ".join(f"`{word}`" for word in self.overrides)
        return f"`{self.experiment}`" + (f"<br>{more}" if more else "")


def results_table(
    rows: Sequence[ResultRow], results: PublishedResults, metrics: Sequence[str]
) -> str:
    """Return a row per configuration: mean, range over seeds and interval of each metric.

    A published ensemble of the runs has its own row.
    """
    headings = [NAMES[metric] for metric in metrics]
    lines = [_row(["experiment", "seeds", *headings, f"{BASELINE}, accuracy"])]
    lines.append(_row(["---", "--:", *["---"] * len(headings), "--:"]))
    footnotes = Footnotes()
    for row in rows:
        group = results.group(row.experiment, row.overrides)
        baseline = _baseline(group)
        cells = _scores(group, metrics, formatting.score)
        text = row.text + footnotes.mark(group)
        lines.append(_row([text, str(len(group.seeds)), *cells, baseline]))
        together = results.ensemble(row.experiment, row.overrides)
        if together is not None:
            group = ResultGroup(lines=(together,))
            cells = _scores(group, metrics, formatting.score)
            text = f"… ensemble: the mean of their {len(together.seeds)} probabilities"
            lines.append(_row([text, "", *cells, baseline]))
    return "\n".join([*lines, *footnotes.lines()])


def privacy_table(
    rows: Sequence[ResultRow], results: PublishedResults, metrics: Sequence[str]
) -> str:
    """Return a row per configuration: guarantee, noise multiplier, ε, δ and scores."""
    headings = [NAMES[metric] for metric in metrics]
    lines = [_row(["experiment", "guarantee", "noise multiplier", "ε", "δ", "seeds", *headings])]
    lines.append(_row(["---", "---", "--:", "--:", "--:", "--:", *["---"] * len(headings)]))
    footnotes = Footnotes()
    for row in rows:
        group = results.group(row.experiment, row.overrides)
        privacy = group.privacy
        noise = None if privacy is None else privacy.noise_multiplier
        cells = _scores(group, metrics, formatting.score_range)
        lines.append(
            _row(
                [
                    row.text + footnotes.mark(group),
                    group.first.guarantee,
                    "" if noise is None else significant_text(noise),
                    epsilon_range(group),
                    "" if privacy is None else f"{privacy.delta:g}",
                    str(len(group.seeds)),
                    *cells,
                ]
            )
        )
    return "\n".join([*lines, *footnotes.lines()])


def hypothetical_table(rows: Sequence[ResultRow], results: PublishedResults) -> str:
    """Return a row per configuration with its ε for a hypothetical population, not a guarantee."""
    lines = [
        _row(["experiment", "ε of the run", "hypothetical population", "hypothetical-population ε"])
    ]
    lines.append(_row(["---", "--:", "--:", "--:"]))
    for row in rows:
        group = results.group(row.experiment, row.overrides)
        if group.privacy is None or group.privacy.hypothetical_population is None:
            continue
        units = f"{count_text(group.privacy.hypothetical_population)} {group.privacy.unit}s"
        lines.append(
            _row(
                [
                    row.text,
                    epsilon_range(group),
                    units,
                    epsilon_text(group.privacy.hypothetical_epsilon),
                ]
            )
        )
    return "\n".join(lines)


def sweep_table(groups: Sequence[ResultGroup], metrics: Sequence[str]) -> str:
    """Return a column per noise multiplier: ε by PLD and RDP, and scores."""
    known: list[tuple[Privacy, ResultGroup]] = [
        (group.privacy, group) for group in groups if group.privacy is not None
    ]
    lines = [_row(["noise multiplier", *(f"{one.noise_multiplier:g}" for one, _ in known)])]
    lines.append(_row(["---", *["--:"] * len(known)]))
    lines.append(_row(["ε (PLD)", *(epsilon_text(one.epsilon) for one, _ in known)]))
    lines.append(_row(["ε (RDP)", *(epsilon_text(one.epsilon_rdp) for one, _ in known)]))
    for metric in metrics:
        cells = (formatting.score_range(group.score(metric)) for _, group in known)
        lines.append(_row([NAMES[metric], *cells]))
    return "\n".join(lines)


def summary_table(rows: Sequence[ResultRow], results: PublishedResults) -> str:
    """Return the table of the README: a row per kind of training, and the majority-class baseline.

    Args:
      rows: rows of the table, labeled by model and input; the baseline is that of the first.
      results: all published results.
    """
    metrics = ("test/accuracy", "test/f1/S", "test/f1/V")
    headings = [NAMES[metric] for metric in metrics]
    lines = [_row(["guarantee", "experiment", "model, input", "ε (δ)", *headings])]
    lines.append(_row(["---", "---", "---", "--:", *["---"] * len(metrics)]))
    footnotes = Footnotes()
    for row in rows:
        group = results.group(row.experiment, row.overrides)
        privacy = group.privacy
        guarantee = "" if privacy is None else f"{epsilon_range(group)} ({privacy.delta:g})"
        words = " ".join(f"`{word}`" for word in (row.experiment, *row.overrides))
        cells = _scores(group, metrics, formatting.score_range)
        name = group.first.guarantee + footnotes.mark(group)
        lines.append(_row([name, words, row.label, guarantee, *cells]))
    baseline = _baseline(results.group(rows[0].experiment, rows[0].overrides))
    lines.append(_row([BASELINE, "", "", "", baseline, "0.000", "0.000"]))
    return "\n".join([*lines, *footnotes.lines()])


def evaluation_log(results: PublishedResults, split: str) -> str:
    """Return a row per evaluation on a test set, in the order of time."""
    lines = [_row(["when (UTC)", "experiment", "run", "accuracy", "jk index"])]
    lines.append(_row(["---", "---", "---", "--:", "--:"]))
    for line in results.evaluations(split):
        cells = [_value(line, metric) for metric in ("test/accuracy", "test/jk_index")]
        seeds = ",".join(map(str, line.seeds))
        what = " ".join([*line.overrides, f"seed={seeds}"])
        if line.variant:
            what += f"; {line.variant}"
        if line.kind == "mean":
            what += "; their mean"
        if line.status == "FAILED":
            what += "; the run failed"
        lines.append(_row([line.provenance.date, f"`{line.experiment}`", what, *cells]))
    return "\n".join(lines)


def commands(groups: Iterable[ResultGroup]) -> str:
    """Return the commands that make the runs of a table, with the duration of a run."""
    durations = {group.command(): group.seconds for group in groups}
    width = max((len(command) for command in durations if len(command) <= _ALIGNED), default=0)
    lines = [
        f"{command.ljust(width)}  # {seconds_text(seconds)}" if seconds else command
        for command, seconds in durations.items()
    ]
    return "\n".join(["```sh", *lines, "```"])


def seconds_text(seconds: tuple[float, float]) -> str:
    """Format durations, e.g. `15 to 39 s per run`."""
    low, high = (f"{end:.0f}" for end in seconds)
    return f"{low} s per run" if low == high else f"{low} to {high} s per run"


def epsilon_range(group: ResultGroup) -> str:
    """Format ε of one run, rounded up; `∞` without a guarantee."""
    found = group.epsilon
    if math.isinf(found.mean):
        return "∞"
    low, high = epsilon_text(found.low), epsilon_text(found.high)
    return low if low == high else f"{low}–{high}"


def _baseline(group: ResultGroup) -> str:
    return formatting.score_range(group.score("test/majority/accuracy"))


def _scores(
    group: ResultGroup, metrics: Iterable[str], write: Callable[[Spread], str]
) -> list[str]:
    """Return a cell per metric; it is empty if the runs did not record the metric."""
    scores = (group.score(metric) for metric in metrics)
    return [write(score) if score.is_defined else "" for score in scores]


def _value(line: PublishedResult, metric: str) -> str:
    found = line.metrics.get(metric)
    return "" if found is None else score_text(found.value)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
