"""The artifacts of a run: tables, figures, predictions and the model, written by the tracker."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgexp.data.beats import BeatSet, beats_sha256
from ecgexp.evaluation.evaluator import Evaluation
from ecgexp.experiment import demographics, quality
from ecgexp.experiment.data import RunData
from ecgexp.experiment.quality import MarkedScores
from ecgexp.formatting import score_text
from ecgexp.models.classifier import Classifier
from ecgexp.models.saved_classifier import save_classifier
from ecgexp.privacy.statement import PrivacyStatement
from ecgexp.tracking.base import DatasetInput, Tracker

if TYPE_CHECKING:
    import pandas as pd

_MAIN_SCORES = (("macro F1", "macro_f1"), ("accuracy", "accuracy"), ("jk index", "jk_index"))


def log_data(tracker: Tracker, run_data: RunData, *, figure_format: str = "png") -> None:
    """Log the dataset, its class counts per split, the discarded beats and the partition.

    Args:
      tracker: of the run.
      run_data: the data of the run.
      figure_format: `png`, `svg` or `pdf`.
    """
    beats = run_data.beats
    dataset = DatasetInput(
        name=beats.database, digest=beats.digest, source=beats.database, counts=run_data.counts
    )
    tracker.log_dataset(dataset)
    tracker.set_tags(
        {
            "dataset.name": beats.database,
            "dataset.digest": beats.digest,
            "dataset.test_sha256": test_sha256(run_data),
            "dataset.patients": beats.patients_are,
        }
    )
    tracker.log_dict(describe_data(run_data), "data.json")
    log_partition(tracker, run_data, figure_format=figure_format)


def test_sha256(run_data: RunData) -> str:
    """Return the SHA-256 of the test beats, which `predictions/test.parquet` publishes anyway."""
    return beats_sha256(run_data.beats.take(run_data.split.test))


def log_partition(tracker: Tracker, run_data: RunData, *, figure_format: str = "png") -> None:
    """Log the beats of each class and client as a figure and a table; nothing for a pooled run.

    Args:
      tracker: of the run.
      run_data: the data of the run.
      figure_format: `png`, `svg` or `pdf`.
    """
    if run_data.partition.is_pooled:
        return
    import pandas as pd

    from ecgexp.evaluation.partition_figure import partition_figure

    beats = run_data.beats
    counts = run_data.partition.class_counts(beats)
    tracker.log_figure(
        partition_figure(counts, beats.class_names, source=beats.source("")),
        f"figures/partition.{figure_format}",
    )
    rows = [
        {"client": client, "split": split, "class": name, "beats": number}
        for split, clients in counts.items()
        for client, classes in clients.items()
        for name, number in classes.items()
    ]
    tracker.log_table(pd.DataFrame(rows), "tables/partition.csv")


def describe_data(run_data: RunData) -> dict[str, Any]:
    """Return the entry in `result.json`: the database, and the beats of each class and split.

    Args:
      run_data: the data of the run.
    """
    beats, partition = run_data.beats, run_data.partition
    return {
        "database": beats.database,
        "digest": beats.digest,
        "test_sha256": test_sha256(run_data),
        "classes": list(beats.class_names),
        "beats": run_data.counts,
        "patients_are": beats.patients_are,
        "patients": {
            name: len(np.unique(beats.patient_ids[rows]))
            for name, rows in run_data.indices.items()
            if beats.knows_patients
        },
        **({} if partition.is_pooled else {"clients": partition.num_clients()}),
        "dropped": dict(beats.dropped),
        **({"skipped": dict(beats.skipped)} if beats.skipped else {}),
        **quality.describe(run_data),
        **demographics.describe(run_data),
        "notes": list(run_data.split.notes),
    }


def log_evaluation(
    tracker: Tracker,
    run_data: RunData,
    split: str,
    evaluation: Evaluation,
    probabilities: np.ndarray,
    *,
    figure_format: str = "png",
) -> None:
    """Log the figures, tables and predictions of one split.

    Args:
      tracker: of the run.
      run_data: the data of the run.
      split: `validation` or `test`.
      evaluation: the scores.
      probabilities: (num_beats, classes) of the split's beats.
      figure_format: `png`, `svg` or `pdf`.
    """
    import pandas as pd

    from ecgexp.evaluation import figures, gallery
    from ecgexp.evaluation.tables import summary_markdown

    beats = run_data.beats.take(run_data.indices[split])
    names, source = evaluation.class_names, beats.source(split)
    tracker.log_figure(
        figures.confusion_figure(evaluation.confusion, names, source=source),
        f"figures/{split}_confusion_matrix.{figure_format}",
    )
    tracker.log_figure(
        figures.roc_figure(beats.labels, probabilities, names, source=source),
        f"figures/{split}_roc.{figure_format}",
    )
    tracker.log_figure(
        figures.precision_recall_figure(beats.labels, probabilities, names, source=source),
        f"figures/{split}_precision_recall.{figure_format}",
    )
    tracker.log_figure(
        figures.reliability_figure(beats.labels, probabilities, source=source),
        f"figures/{split}_reliability.{figure_format}",
    )
    tracker.log_figure(
        gallery.mistakes_figure(beats, probabilities, source=source),
        f"figures/{split}_worst_mistakes.{figure_format}",
    )
    tracker.log_text(summary_markdown(evaluation, title=source), f"tables/{split}_summary.md")
    tracker.log_table(pd.DataFrame(list(evaluation.per_record)), f"tables/{split}_per_record.csv")
    tracker.log_table(_predictions(beats, probabilities), f"predictions/{split}.parquet")


def log_marked_scores(tracker: Tracker, split: str, found: MarkedScores | None) -> None:
    """Log the scores with and without marked beats side by side, if there are marked beats.

    Args:
      tracker: of the run.
      split: `validation` or `test`.
      found: the scores; None if marks are not known.
    """
    if found is not None and found.scores:
        tracker.log_table(found.table(), f"tables/{split}_quality.csv")


def log_description(
    tracker: Tracker, evaluation: Evaluation, *, title: str, notes: Sequence[str]
) -> None:
    """Log the description that MLflow shows first: main scores, notes, then the summary.

    MLflow's page folds a description after a few lines.

    Args:
      tracker: of the run.
      evaluation: the scores.
      title: of the summary.
      notes: one line each.
    """
    from ecgexp.evaluation.tables import summary_markdown

    values = evaluation.scores.values
    scores = ", ".join(
        f"{name} {score_text(values.get(key, math.nan))}" for name, key in _MAIN_SCORES
    )
    listed = "".join(f"- {note}\n" for note in notes)
    summary = summary_markdown(evaluation, title=title)
    tracker.set_tags(
        {
            "mlflow.note.content": f"**{scores}** ({title})\n\n{listed}\n{summary}",
            "notes": "; ".join(notes),
        }
    )


def summary(evaluation: Evaluation, *, title: str) -> Any:
    """Return the table that the console shows at the end of a run.

    Args:
      evaluation: the scores.
      title: of the table.
    """
    from ecgexp.evaluation.tables import summary_table

    return summary_table(evaluation, title=title)


def log_history(
    tracker: Tracker,
    history: Mapping[str, list[float]],
    *,
    source: str,
    step_name: str,
    kept_step: int,
    withholds: bool,
    figure_format: str = "png",
) -> None:
    """Log the curves over the epochs: a figure of the main ones, and a table of all.

    Args:
      tracker: of the run.
      history: metric -> one value per epoch or round.
      source: the database.
      step_name: `epoch` or `round`.
      kept_step: the selected epoch, 1-based.
      withholds: whether curves of training beats are withheld; then there is also a figure without
        them.
      figure_format: `png`, `svg` or `pdf`.
    """
    from ecgexp.evaluation.figures import learning_curves_figure

    figure = learning_curves_figure(
        history, source=source, step_name=step_name, best_step=kept_step
    )
    tracker.log_figure(figure, f"figures/learning_curves.{figure_format}")
    tracker.log_table(_curves(history, step_name), "tables/learning_curves.csv")
    holdout = {name: values for name, values in history.items() if name.startswith("validation/")}
    if withholds and holdout:
        figure = learning_curves_figure(
            holdout, source=source, step_name=step_name, best_step=kept_step
        )
        tracker.log_figure(figure, f"figures/validation_curves.{figure_format}")
        tracker.log_table(_curves(holdout, step_name), "tables/validation_curves.csv")


def _curves(history: Mapping[str, list[float]], step_name: str) -> "pd.DataFrame":
    """Return one row per epoch or round, and one column per metric."""
    import pandas as pd

    steps = range(1, 1 + max(map(len, history.values()), default=0))
    return pd.DataFrame({step_name: steps, **history})


def log_model(tracker: Tracker, classifier: Classifier, run_dir: Path) -> None:
    """Log the classifier as a folder of data, and as an MLflow model.

    Args:
      tracker: of the run.
      classifier: the model with its preprocessing.
      run_dir: receives the folder `model`.
    """
    tracker.log_model(save_classifier(classifier, run_dir / "model"))


def log_privacy(tracker: Tracker, statement: PrivacyStatement) -> None:
    """Log the privacy statement as text, as JSON and as tags.

    Args:
      tracker: of the run.
      statement: of the run.
    """
    values = statement.as_dict()
    tracker.log_text(statement.text(), "privacy_statement.txt")
    tracker.log_dict(values, "privacy.json")
    tracker.set_tags(
        {"privacy": statement.line(), "privacy.guarantee": str(values["guarantee"]).lower()}
    )


def privacy_metrics(statement: PrivacyStatement) -> dict[str, float]:
    """Return the values of a privacy statement as metrics.

    Args:
      statement: of the run.

    Returns:
      Metric key -> value; without a privacy guarantee there is no `privacy/epsilon`.
    """
    values = statement.as_dict()
    names = (
        "epsilon",
        "epsilon_pld",
        "epsilon_rdp",
        "epsilon_replace_one",
        "delta",
        "epsilon_if_noise_were_secret",
        "noise_multiplier",
        "sampling_probability",
        "steps",  # the values that followed from a target ε or a budget
    )
    return {f"privacy/{name}": values[name] for name in names if values.get(name) is not None}


def _predictions(beats: BeatSet, probabilities: np.ndarray) -> "pd.DataFrame":
    """Return one row per beat: its identity, its class and the probability of each class."""
    import pandas as pd

    names = np.array(beats.class_names)
    columns = {
        "record": beats.record_ids,
        "patient": beats.patient_ids if beats.knows_patients else np.full(len(beats), ""),
        "sample": beats.r_samples,
        "symbol": beats.symbols,
        "class": names[beats.labels],
        "predicted": names[probabilities.argmax(axis=1)],
    }
    return pd.DataFrame(
        columns | {f"probability/{name}": probabilities[:, i] for i, name in enumerate(names)}
    )
