"""The tables of scores on the report page: overall, by class and by client, with their limits."""

from collections import Counter
from collections.abc import Sequence

from ecgexp.analysis import formatting
from ecgexp.analysis.report.groups import Configuration, client_scores, shown
from ecgexp.analysis.report.tables import Table, or_dash, seconds
from ecgexp.analysis.spread import spread
from ecgexp.evaluation.missing import AVERAGES, over
from ecgexp.evaluation.names import metric_name
from ecgexp.privacy.publication import is_published

_SCORES = {
    "accuracy": "accuracy",
    "balanced accuracy": "balanced_accuracy",
    "macro F1": "macro_f1",
    "jk index": "jk_index",
}


def score_table(configurations: Sequence[Configuration], split: str) -> Table:
    """Return a row per configuration: varying settings, seeds, ε and overall scores."""
    names = _columns(configurations)
    with_epsilon = any(one.guarantee != "none" for one in configurations)
    epsilon_columns = ["ε", "δ"] if with_epsilon else []
    columns = [
        "",
        *(name.removesuffix("._target_") for name in names),
        "seeds",
        *epsilon_columns,
        *_SCORES,
        "time of a run",
    ]
    rows = [
        [
            f"[{one.number}]",
            *(shown(name, one.values.get(name, "–")) for name in names),
            _seeds(one),
            *([_epsilon(one), _delta(one)] if with_epsilon else []),
            *(_overall(one, split, score) for score in _SCORES.values()),
            or_dash(seconds(one), formatting.duration),
        ]
        for one in configurations
    ]
    return Table(
        name="scores",
        caption=f"Scores on the {split} beats, one row per configuration",
        columns=columns,
        groups=[[row] for row in rows],
        notes=[
            *average_notes(configurations, split),
            *_undefined(configurations, split, overall=True),
        ],
    )


def note_table(configurations: Sequence[Configuration], *, public: bool) -> Table | None:
    """Return the notes that the runs stored about their scores; None without notes.

    Args:
      configurations: of the page.
      public: whether to leave out notes that depend on training beats.
    """
    groups = []
    for one in configurations:
        found: dict[tuple[str, str], list[str]] = {}
        for row in one.rows:
            for about, texts in row.notes.items():
                if not public or is_published("result key", f"notes/{about}"):
                    for text in texts:
                        found.setdefault((about, text), []).append(row.seed or "?")
        found |= _repeated_seeds(one)
        body = [[about, text, ", ".join(seeds)] for (about, text), seeds in found.items()]
        if body:
            groups.append([[f"[{one.number}]", *body[0]], *body[1:]])
    if not groups:
        return None
    return Table(
        name="notes",
        caption="Limits of the scores",
        columns=["", "about", "what is missing", "seeds"],
        groups=groups,
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


def _overall(one: Configuration, split: str, score: str) -> str:
    """Format a score, with the classes of an average that is not over all classes.

    It also states if the classes differ between seeds.
    """
    text, found = formatting.score(one.score(split, score)), one.averaged(split)
    if score not in AVERAGES or not one.score(split, score).is_defined:
        return text
    if len(found) > 1:
        return f"{text} over classes that differ between seeds"
    return f"{text} {over(found[0], one.classes)}".rstrip() if found else text


def _seeds(one: Configuration) -> str:
    return ", ".join(row.seed or "?" for row in one.rows)


def _epsilon(one: Configuration) -> str:
    if one.guarantee == "none":
        return "no privacy guarantee"
    if one.guarantee == "simulation":
        return f"{formatting.epsilon(one.epsilon)} if the noise were secret; no privacy guarantee"
    groups = [row.overlap for row in one.rows if row.overlap is not None]
    beside = (
        f"; {formatting.epsilon(spread(e for _, e in groups))} of {max(n for n, _ in groups)} rows "
        "that share samples"
        if groups
        else ""
    )
    return formatting.epsilon(one.epsilon) + beside


def _delta(one: Configuration) -> str:
    return or_dash(spread(row.delta for row in one.rows), formatting.figure)
