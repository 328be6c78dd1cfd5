"""What a score, a choice or a model lacks to rest on: classes without beats, epochs that no score tells apart.

Every function answers in words, ready for the console, `result.json` and the report. What is known before training is refused
by `ecgexp.experiment.class_coverage`; what is known only afterwards becomes a note.
"""

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ecgexp.evaluation.clients import ClientScores
from ecgexp.evaluation.evaluator import Evaluation
from ecgexp.evaluation.names import metric_name

AVERAGES = ("balanced_accuracy", "macro_f1", "auroc_macro", "auprc_macro")
FEW_BEATS = 10
_OF_ONE_CLASS = ("sensitivity", "positive_predictivity", "f1")
_JK_CLASSES = ("S", "V")


def absent_classes(counts: Mapping[str, int]) -> tuple[str, ...]:
    """The classes without a beat, from class -> beats."""
    return tuple(name for name, count in counts.items() if not count)


def over(classes: Sequence[str], every: Sequence[str]) -> str:
    """`over N, V` where an average leaves classes out; empty where it is over `every` class."""
    return f"over {', '.join(classes)}" if len(classes) < len(every) else ""


def averaged_classes(
    metrics: Mapping[str, float], split: str, class_names: Sequence[str]
) -> tuple[str, ...] | None:
    """The classes over which a stored run's averages were taken, from its `<split>/support/<class>`.

    Args:
      metrics: of the run.
      split: `test` or `validation`.
      class_names: (classes,) of the run.

    Returns:
      Those with a true beat; None where the run does not tell.
    """
    support = {name: metrics.get(f"{split}/support/{metric_name(name)}") for name in class_names}
    if not support or None in support.values():
        return None
    return tuple(name for name, count in support.items() if count)


def metric_lacks(metric: str, counts: Mapping[str, int]) -> str:
    """Why no epoch could be chosen by a validation score, whatever the model answers; empty where one can.

    Args:
      metric: a key of `metrics.quick_scores`, or `clients/accuracy_…`.
      counts: class -> validation beats.
    """
    present, absent = [name for name, count in counts.items() if count], absent_classes(counts)
    if len(present) < 2:
        only = ", ".join(present) or "no class"
        return f"every validation beat is of class {only}, so that a model that always answers {only} is the best by any score"
    score, _, key = metric.partition("/")
    missing = [name for name in absent if metric_name(name) == key and score in _OF_ONE_CLASS]
    if metric == "jk_index":
        missing = [name for name in absent if name in _JK_CLASSES]
    if missing:
        return f"no validation beat is of class {', '.join(missing)}, so that {metric} is defined in no epoch"
    if score == "support":
        return f"{metric} counts beats, and is the same in every epoch"
    return ""


def selection_notes(
    metric: str,
    scores: Sequence[float],
    kept_step: int,
    counts: Mapping[str, int],
    *,
    keeps: str,
    step_name: str,
) -> list[str]:
    """What the choice of an epoch does not rest on.

    Args:
      metric: the validation score that chose.
      scores: of it, one an epoch or round, NaN where undefined.
      kept_step: 1-based, what was chosen.
      counts: class -> validation beats.
      keeps: `best`, or `last` where the score decided only when to stop.
      step_name: `epoch` or `round`.
    """
    notes, defined = [], [value for value in scores if not math.isnan(value)]
    if absent := absent_classes(counts):
        rest = ", ".join(name for name, count in counts.items() if count)
        notes.append(
            f"no validation beat is of class {', '.join(absent)}: {step_name} {kept_step} was chosen by {metric} of {rest} alone"
        )
    if not defined:
        notes.append(
            f"{metric} was undefined in each of {len(scores)} {step_name}s and chose nothing: {step_name} {kept_step}, the last "
            "one, was kept"
        )
    elif len(defined) < len(scores):
        gone = len(scores) - len(defined)
        notes.append(
            f"{metric} was undefined in {gone} of {len(scores)} {step_name}s, which could not be chosen"
        )
    if len(defined) > 1 and max(defined) == min(defined):
        place = "first" if keeps == "best" else "last"
        notes.append(
            f"{metric} was {defined[0]:.3f} in each of {len(defined)} {step_name}s, so that it tells none from another: "
            f"{step_name} {kept_step} was kept for being the {place}"
        )
    return notes


def evaluation_notes(evaluation: Evaluation) -> list[str]:
    """What the scores of one split do not rest on; from the beats of that split and the model's answers only."""
    names, true, predicted = (
        evaluation.class_names,
        evaluation.confusion.sum(axis=1),
        evaluation.confusion.sum(axis=0),
    )
    present, total = evaluation.classes_in_average, evaluation.num_beats
    notes = []
    if absent := [name for name, count in zip(names, true, strict=True) if not count]:
        averages = (
            f"averages are over {', '.join(present)}"
            if len(present) > 1
            else f"every beat is {present[0]}, and there is no average over classes"
        )
        notes.append(
            f"no beat is of class {', '.join(absent)}, so that nothing is known of them; {averages}"
        )
    answered = [name for name, count in zip(names, predicted, strict=True) if count]
    if len(answered) == 1:
        notes.append(
            f"the model answers {answered[0]} for each of {total} beats, and never any other class"
        )
    largest, accuracy = int(true.argmax()), evaluation.scores.values["accuracy"]
    share = float(true[largest]) / total
    if len(present) > 1 and accuracy <= share:
        notes.append(
            f"accuracy {accuracy:.3f} is not above the {share:.3f} of always answering {names[largest]}, the commonest class here"
        )
    if without := [
        key for key in ("accuracy", *AVERAGES, "jk_index") if key in evaluation.intervals_missing
    ]:
        notes.append(
            "; ".join(
                f"no interval of {key.replace('_', ' ')}: {evaluation.intervals_missing[key]}"
                for key in without
            )
        )
    return notes


def client_notes(scores: ClientScores) -> list[str]:
    """What the scores of single clients do not rest on."""
    total, one_class = len(scores.clients), int((scores.num_classes == 1).sum())
    few = int((scores.beats < FEW_BEATS).sum())
    notes = []
    if one_class:
        notes.append(
            f"{one_class} of {total} clients have beats of one class only, so that their accuracy says nothing of another"
        )
    if few:
        notes.append(f"{few} of {total} clients have fewer than {FEW_BEATS} beats")
    return notes


def training_notes(
    counts: Mapping[str, int], evaluated: Mapping[str, Mapping[str, int]]
) -> list[str]:
    """Classes that the model cannot have learned.

    It is a statement about training beats: under a privacy guarantee it stays with the private data.

    Args:
      counts: class -> training beats.
      evaluated: split -> class -> beats of the splits that are scored.
    """
    absent = absent_classes(counts)
    if not absent:
        return []
    notes = [
        f"no training beat is of class {', '.join(absent)}: the model cannot have learned them"
    ]
    for split, there in evaluated.items():
        if asked := [f"{there[name]} of class {name}" for name in absent if there.get(name)]:
            notes.append(f"{split} beats that it cannot know: {', '.join(asked)}")
    return notes


def participation_notes(
    history: Mapping[str, Sequence[float]], kept_step: int, *, step_name: str, untrained: str
) -> list[str]:
    """Epochs or rounds from which nothing was learned, because nobody took part.

    From training metrics: under a privacy guarantee it stays with the private data.

    Args:
      history: `train/<metric>` -> one value an epoch or round, NaN where none was measured.
      kept_step: 1-based, whose weights are the model's.
      step_name: `epoch` or `round`.
      untrained: what the weights are where nobody took part up to `kept_step`.
    """
    notes = []
    for name, what in (
        ("train/clients/used", "usable client update"),
        ("train/batch_size", "training beat"),
    ):
        used = np.nan_to_num(np.asarray(history.get(name, ()), float))
        if len(used) and not used[:kept_step].any():
            notes.append(
                f"no {what} entered the weights of {step_name} {kept_step}: they are {untrained}"
            )
        elif empty := int((used == 0).sum()):
            notes.append(
                f"{empty} of {len(used)} {step_name}s had no {what}: nothing was learned in them"
            )
    broken = np.nan_to_num(np.asarray(history.get("train/clients/non_finite", ()), float))
    if broken.any():
        rounds = int((broken > 0).sum())
        notes.append(
            f"{int(broken.sum())} client updates were not finite and left out, in {rounds} of {len(broken)} rounds"
        )
    return notes


def clients_of_one_class(labels: np.ndarray, parts: Mapping[str, np.ndarray]) -> Collection[str]:
    """The clients whose beats are of a single class.

    Args:
      labels: (num_beats,) int class index.
      parts: client id -> indices of its beats.
    """
    return [client for client, rows in parts.items() if len(np.unique(labels[rows])) == 1]
