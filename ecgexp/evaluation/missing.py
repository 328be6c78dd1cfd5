"""Notes on limitations of scores, model selection and models, e.g. classes without beats.

Every function returns text for the console, `result.json` and the report. Limitations that are
known before training are refused by `ecgexp.experiment.class_coverage`; those that are known only
afterwards become notes.
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
    """Return the classes without beats.

    Args:
      counts: Class -> number of beats.

    Returns:
      Names of the classes.
    """
    return tuple(name for name, count in counts.items() if not count)


def over(classes: Sequence[str], every: Sequence[str]) -> str:
    """Return `over N, V` if an average leaves classes out, else an empty text.

    Args:
      classes: Classes of the average.
      every: All classes.

    Returns:
      The text, for the name of a score.
    """
    return f"over {', '.join(classes)}" if len(classes) < len(every) else ""


def averaged_classes(
    metrics: Mapping[str, float], split: str, class_names: Sequence[str]
) -> tuple[str, ...] | None:
    """Return the classes of the averages of a stored run, from its `<split>/support/<class>`.

    Args:
      metrics: Metrics of the run.
      split: `test` or `validation`.
      class_names: Classes of the run.

    Returns:
      The classes with beats; None if the run has no such metrics.
    """
    support = {name: metrics.get(f"{split}/support/{metric_name(name)}") for name in class_names}
    if not support or None in support.values():
        return None
    return tuple(name for name, count in support.items() if count)


def metric_lacks(metric: str, counts: Mapping[str, int]) -> str:
    """Return why a validation score cannot select an epoch with any model, or an empty text.

    Args:
      metric: A key of `metrics.quick_scores`, or `clients/accuracy_…`.
      counts: Class -> number of validation beats.

    Returns:
      The reason; empty if the score can select an epoch.
    """
    present, absent = [name for name, count in counts.items() if count], absent_classes(counts)
    if len(present) < 2:
        only = ", ".join(present) or "no class"
        return (
            f"every validation beat is of class {only}, so that a model that always predicts "
            f"{only} is the best by any score"
        )
    score, _, key = metric.partition("/")
    missing = [name for name in absent if metric_name(name) == key and score in _OF_ONE_CLASS]
    if metric == "jk_index":
        missing = [name for name in absent if name in _JK_CLASSES]
    if missing:
        return (
            f"no validation beat is of class {', '.join(missing)}, so that {metric} is undefined "
            "in every epoch"
        )
    if score == "support":
        return f"{metric} is a number of beats, which is the same in every epoch"
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
    """Return the limitations of the selection of an epoch or round.

    Args:
      metric: The validation score of the selection.
      scores: Its value in each epoch or round, NaN if undefined.
      kept_step: The selected epoch or round, from 1.
      counts: Class -> number of validation beats.
      keeps: `best`, or `last` if the score determined only when to stop.
      step_name: `epoch` or `round`.

    Returns:
      One text for each limitation.
    """
    notes, defined = [], [value for value in scores if not math.isnan(value)]
    if absent := absent_classes(counts):
        rest = ", ".join(name for name, count in counts.items() if count)
        notes.append(
            f"no validation beat is of class {', '.join(absent)}: {step_name} {kept_step} was "
            f"selected by {metric} of {rest} only"
        )
    if not defined:
        notes.append(
            f"{metric} was undefined in each of {len(scores)} {step_name}s, so that the last one, "
            f"{step_name} {kept_step}, was selected"
        )
    elif len(defined) < len(scores):
        gone = len(scores) - len(defined)
        notes.append(
            f"{metric} was undefined in {gone} of {len(scores)} {step_name}s, which could not be "
            "selected"
        )
    if len(defined) > 1 and max(defined) == min(defined):
        place = "first" if keeps == "best" else "last"
        notes.append(
            f"{metric} was {defined[0]:.3f} in each of {len(defined)} {step_name}s, so that the "
            f"{place} one, {step_name} {kept_step}, was selected"
        )
    return notes


def evaluation_notes(evaluation: Evaluation) -> list[str]:
    """Return the limitations of the scores of one split.

    Args:
      evaluation: The evaluation; nothing but the beats of its split and the predictions is used.

    Returns:
      One text for each limitation.
    """
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
            else f"every beat is {''.join(present)}, and averages over classes are undefined"
        )
        notes.append(
            f"no beat is of class {', '.join(absent)}, so that they are not evaluated; {averages}"
        )
    predicted_names = [name for name, count in zip(names, predicted, strict=True) if count]
    if len(predicted_names) == 1:
        notes.append(f"the model predicts {predicted_names[0]} for each of {total} beats")
    largest, accuracy = int(true.argmax()), evaluation.scores.values["accuracy"]
    share = float(true[largest]) / total
    if len(present) > 1 and accuracy <= share:
        notes.append(
            f"accuracy {accuracy:.3f} is not above the {share:.3f} of always predicting "
            f"{names[largest]}, the most frequent class of this split"
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
    """Return the limitations of the scores of single clients.

    Args:
      scores: Scores of the clients.

    Returns:
      One text for each limitation.
    """
    total, one_class = len(scores.clients), int((scores.num_classes == 1).sum())
    few = int((scores.beats < FEW_BEATS).sum())
    notes = []
    if one_class:
        notes.append(
            f"{one_class} of {total} clients have beats of one class only, so that their accuracy "
            "does not describe other classes"
        )
    if few:
        notes.append(f"{few} of {total} clients have fewer than {FEW_BEATS} beats")
    return notes


def training_notes(
    counts: Mapping[str, int], evaluated: Mapping[str, Mapping[str, int]]
) -> list[str]:
    """Return notes on classes without training beats, which the model cannot have learned.

    They depend on training beats; with a privacy guarantee they belong to the private outputs.

    Args:
      counts: Class -> number of training beats.
      evaluated: Split -> class -> number of beats, for the evaluated splits.

    Returns:
      The notes; empty if every class has training beats.
    """
    absent = absent_classes(counts)
    if not absent:
        return []
    notes = [
        f"no training beat is of class {', '.join(absent)}: the model cannot have learned them"
    ]
    for split, there in evaluated.items():
        if found := [f"{there[name]} of class {name}" for name in absent if there.get(name)]:
            notes.append(f"{split} beats of classes without training beats: {', '.join(found)}")
    return notes


def participation_notes(
    history: Mapping[str, Sequence[float]], kept_step: int, *, step_name: str, untrained: str
) -> list[str]:
    """Return notes on epochs or rounds without participants, which did not change the weights.

    They depend on training metrics; with a privacy guarantee they belong to the private outputs.

    Args:
      history: `train/<metric>` -> value of each epoch or round, NaN if it was not measured.
      kept_step: The epoch or round, from 1, with the weights of the model.
      step_name: `epoch` or `round`.
      untrained: Description of the weights if there were no participants up to `kept_step`.

    Returns:
      The notes.
    """
    notes = []
    for name, what in (
        ("train/clients/used", "usable client update"),
        ("train/batch_size", "training beat"),
    ):
        used = np.nan_to_num(np.asarray(history.get(name, ()), float))
        if len(used) and not used[:kept_step].any():
            notes.append(
                f"no {what} contributed to the weights of {step_name} {kept_step}: they are "
                f"{untrained}"
            )
        elif empty := int((used == 0).sum()):
            notes.append(
                f"{empty} of {len(used)} {step_name}s had no {what}, and did not change the weights"
            )
    broken = np.nan_to_num(np.asarray(history.get("train/clients/non_finite", ()), float))
    if broken.any():
        rounds = int((broken > 0).sum())
        notes.append(
            f"{int(broken.sum())} client updates were not finite and were left out, in {rounds} of "
            f"{len(broken)} rounds"
        )
    return notes


def clients_of_one_class(labels: np.ndarray, parts: Mapping[str, np.ndarray]) -> Collection[str]:
    """Return the clients whose beats are of a single class.

    Args:
      labels: (num_beats,) int, class index.
      parts: Client id -> (num_rows,) int64, indices of its beats.

    Returns:
      Ids of the clients.
    """
    return [client for client, rows in parts.items() if len(np.unique(labels[rows])) == 1]
