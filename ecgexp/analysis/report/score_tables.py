"""The tables of scores on the report page: overall, by class and by client, with their limits."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from ecgexp.analysis import formatting
from ecgexp.analysis.report.evaluation_counts import COLUMN, EvaluationCounts
from ecgexp.analysis.report.groups import Configuration, client_scores, shown
from ecgexp.analysis.report.tables import Cell, Table, or_dash, seconds
from ecgexp.analysis.spread import spread
from ecgexp.evaluation.bootstrap import Interval
from ecgexp.evaluation.missing import AVERAGES, over
from ecgexp.evaluation.names import metric_name
from ecgexp.experiment.logged_evaluation import sentence
from ecgexp.privacy.publication import is_published

_SCORES = {
    "accuracy": "accuracy",
    "balanced accuracy": "balanced_accuracy",
    "macro F1": "macro_f1",
    "jk index": "jk_index",
}


def score_table(
    configurations: Sequence[Configuration],
    split: str,
    *,
    intervals: Callable[[Configuration, str], Interval | None] | None = None,
    evaluations: EvaluationCounts | None = None,
) -> Table:
    """Return a row per configuration: overall scores, ε, varying settings and seeds.

    The scores stand first, so that a narrow screen shows them. The majority-class baseline of each
    database is below them.

    Args:
      configurations: of the page.
      split: `test` or `validation`.
      intervals: (configuration, metric key) -> interval over patients of the mean over several
        seeds; None: there are none. A single run has the interval that it stored.
      evaluations: of the test sets of the page; None: they are not shown.
    """
    runs = [row for one in configurations for row in one.rows]
    if split != "test" or not any(row.evaluation for row in runs):
        evaluations = None
    total = {} if evaluations is None else evaluations.total(runs)
    with_epsilon = any(one.guarantee != "none" for one in configurations)
    # The column of ε has the guarantee in words.
    names = [
        name
        for name in _columns(configurations)
        if not (with_epsilon and name == "privacy._target_")
    ]
    columns = [
        "",
        *_SCORES,
        *([COLUMN] if evaluations is not None else []),
        *(["ε", "δ"] if with_epsilon else []),
        *(name.removesuffix("._target_") for name in names),
        "seeds",
        "time of a run",
    ]
    rows = [
        [
            f"[{one.number}]",
            *(_overall(one, split, score, intervals) for score in _SCORES.values()),
            *([evaluations.cell(one, total)] if evaluations is not None else []),
            *([_epsilon(one), _delta(one)] if with_epsilon else []),
            *(shown(name, one.values.get(name, "–")) for name in names),
            _seeds(one),
            Cell(or_dash(seconds(one), formatting.duration), seconds(one).mean),
        ]
        for one in configurations
    ]
    return Table(
        name="scores",
        caption=f"Scores on the {split} beats, one row per configuration",
        columns=columns,
        groups=[[row] for row in rows],
        notes=[
            *(evaluations.notes(runs) if evaluations is not None else ()),
            *average_notes(configurations, split),
            *_undefined(configurations, split, overall=True),
        ],
        is_sortable=len(rows) > 1,
        scores=list(_SCORES),
        foot=_baselines(configurations, split, len(columns)),
    )


def _baselines(
    configurations: Sequence[Configuration], split: str, num_columns: int
) -> list[list[str]]:
    """Return a row per database: the scores of the majority-class baseline."""
    rows = []
    databases = dict.fromkeys(one.database for one in configurations)
    for database in databases:
        of_all = [row for one in configurations if one.database == database for row in one.rows]
        found = [
            spread(row.metrics.get(f"{split}/majority/{score}") for row in of_all)
            for score in _SCORES.values()
        ]
        if any(one.is_defined for one in found):
            name = "majority-class baseline"
            cells = [
                # The baseline is the same in most runs, and undefined for a reason of its own.
                formatting.score(replace(one, undefined=0)) if one.is_defined else "–"
                for one in found
            ]
            place = database if len(databases) > 1 else ""
            rest = num_columns - 1 - len(cells)
            rows.append([name, *cells, place, *[""] * (rest - 1)])
    return rows


def note_table(configurations: Sequence[Configuration], *, public: bool) -> Table | None:
    """Return each note that runs stored about their scores once; None without notes.

    Args:
      configurations: of the page.
      public: whether to leave out notes that depend on training beats.
    """
    holds_for: dict[tuple[str, str], list[str]] = {}
    for one in configurations:
        found: dict[tuple[str, str], list[str]] = {}
        for row in one.rows:
            beside_the_scores = sentence(row.evaluation) if row.evaluation else ""
            for about, texts in row.notes.items():
                if not public or is_published("result key", f"notes/{about}"):
                    for text in texts:
                        if text == beside_the_scores:
                            continue
                        found.setdefault((about, text), []).append(row.seed or "?")
        found |= _repeated_seeds(one)
        for note, seeds in found.items():
            rest = "" if len(seeds) == len(one.rows) else f" (seed {', '.join(seeds)})"
            holds_for.setdefault(note, []).append(f"[{one.number}]{rest}")
    if not holds_for:
        return None
    every = [f"[{one.number}]" for one in configurations]
    subjects: dict[str, list[list[str]]] = {}
    for (about, text), runs in holds_for.items():
        listed = "all" if runs == every and len(every) > 1 else " ".join(runs)
        subjects.setdefault(about, []).append([text, listed])
    return Table(
        name="notes",
        caption="Limits of the scores",
        columns=["about", "what is missing", "runs"],
        groups=[[[about, *first], *others] for about, (first, *others) in subjects.items()],
        row_name="subject",
    )


def average_notes(configurations: Sequence[Configuration], split: str) -> list[str]:
    """Return notes on averages that are not over all classes, or not over the same classes.

    Averages over different classes cannot be ranked.
    """
    found = {one.number: one.averaged(split) for one in configurations}
    notes = [
        f"[{one.number}] macro F1 and balanced accuracy are {over(classes, one.classes)}: no "
        f"{split} beat is of another class"
        for one in configurations
        for classes in found[one.number]
        if len(classes) < len(one.classes)
    ]
    sets: dict[frozenset[str], list[str]] = {}
    for number, classes in found.items():
        for each in classes:
            sets.setdefault(frozenset(each), []).append(f"[{number}]")
    if len(sets) > 1:
        shown = "; ".join(
            f"{', '.join(sorted(classes))}: {' '.join(numbers)}"
            for classes, numbers in sets.items()
        )
        notes.append(
            f"Averages over different classes, which cannot be ranked against each other: {shown}"
        )
    return notes


def class_table(configurations: Sequence[Configuration], split: str) -> Table:
    """Return a row per configuration and class."""
    groups = []
    for one in configurations:
        body = [
            [
                name,
                formatting.figure(one.score(split, f"support/{metric_name(name)}")),
                *(
                    formatting.score(one.score(split, f"{score}/{metric_name(name)}"))
                    for score in formatting.CLASS_SCORES
                ),
            ]
            for name in one.classes
        ]
        if body:
            groups.append([[f"[{one.number}]", *body[0]], *body[1:]])
    return Table(
        name="classes",
        caption=f"Scores of each class on the {split} beats",
        columns=["", "class", "beats", *formatting.CLASS_SCORES.values()],
        groups=groups,
        notes=_undefined(configurations, split, overall=False),
    )


def client_table(configurations: Sequence[Configuration]) -> Table:
    """Return a row per client, with accuracy and macro F1 of each configuration with clients."""
    scores = {
        one.number: {client.client: client for client in client_scores(one)}
        for one in configurations
    }
    names = sorted(
        {name for clients in scores.values() for name in clients},
        key=lambda name: (len(name), name),
    )
    rows = []
    for name in names:
        known = [clients[name] for clients in scores.values() if name in clients]
        accuracies = [
            formatting.score(clients[name].accuracy) if name in clients else "–"
            for clients in scores.values()
        ]
        f1 = [
            formatting.score(clients[name].macro_f1) if name in clients else "–"
            for clients in scores.values()
        ]
        rows.append([name, f"{known[0].beats}", f"{known[0].majority:.3f}", *accuracies, *f1])
    columns = [
        "client",
        "beats",
        "majority-class baseline",
        *(f"accuracy [{n}]" for n in scores),
        *(f"macro F1 [{n}]" for n in scores),
    ]
    return Table(
        name="clients",
        caption="Each client's test beats",
        columns=columns,
        groups=[[row] for row in rows],
        row_name="client",
        notes=[
            "macro F1: over the classes that the client has; undefined for a client with one class."
        ],
    )


def _columns(configurations: Sequence[Configuration]) -> list[str]:
    names = dict.fromkeys(name for one in configurations for name in one.values)
    return sorted(
        names, key=lambda name: (not name.endswith("._target_"), "noise_multiplier" not in name)
    )


def _undefined(configurations: Sequence[Configuration], split: str, *, overall: bool) -> list[str]:
    """Return the reasons for undefined scores, each with the configurations that it concerns."""
    reasons: dict[str, list[int]] = {}
    wanted = set(_SCORES.values()) if overall else set(formatting.CLASS_SCORES)
    for one in configurations:
        for row in one.rows:
            for key, reason in row.undefined.items():
                of, _, score = key.partition("/")
                if of == split and score.partition("/")[0] in wanted and ("/" in score) != overall:
                    numbers = reasons.setdefault(f"{score.replace('_', ' ')}: {reason}", [])
                    if one.number not in numbers:
                        numbers.append(one.number)
    return [
        f"undefined, {reason} {' '.join(f'[{n}]' for n in numbers)}"
        for reason, numbers in reasons.items()
    ]


def _repeated_seeds(one: Configuration) -> dict[tuple[str, str], list[str]]:
    """Return a note on seeds that several runs share, unless noise makes the runs independent.

    Such runs are one sample, which means count several times.
    """
    if one.guarantee not in ("none", "simulation"):
        return {}
    counts = Counter(row.seed for row in one.rows if row.seed)
    return {
        (
            "seeds",
            f"{number} runs have the same seed and are not independent repetitions: means and "
            "ranges count each",
        ): [seed for seed, times in counts.items() if times == number]
        for number in sorted(set(counts.values()))
        if number > 1
    }


def _overall(
    one: Configuration,
    split: str,
    score: str,
    intervals: Callable[[Configuration, str], Interval | None] | None,
) -> Cell:
    """Format a score, with the classes of an average that is not over all classes.

    It also states if the classes differ between seeds.
    """
    value, averaged = one.score(split, score), one.averaged(split)
    if value.interval is None and intervals is not None:
        found = intervals(one, score)
        value = replace(value, interval=None if found is None else (found.low, found.high))
    text = formatting.score(value)
    if score in AVERAGES and value.is_defined and averaged:
        text += (
            " over classes that differ between seeds"
            if len(averaged) > 1
            else f" {over(averaged[0], one.classes)}".rstrip()
        )
    return Cell(text, value.mean)


def _seeds(one: Configuration) -> str:
    return ", ".join(row.seed or "?" for row in one.rows)


def _epsilon(one: Configuration) -> Cell:
    if one.guarantee == "none":
        return Cell("no privacy guarantee", math.inf)
    if one.guarantee == "simulation":
        text = f"{formatting.epsilon(one.epsilon)} if the noise were secret; no privacy guarantee"
        return Cell(text, one.epsilon.mean)
    groups = [row.overlap for row in one.rows if row.overlap is not None]
    beside = (
        f"; {formatting.epsilon(spread(e for _, e in groups))} of {max(n for n, _ in groups)} rows "
        "that share samples"
        if groups
        else ""
    )
    return Cell(formatting.epsilon(one.epsilon) + beside, one.epsilon.mean)


def _delta(one: Configuration) -> Cell:
    found = spread(row.delta for row in one.rows)
    return Cell(or_dash(found, formatting.figure), found.mean)
