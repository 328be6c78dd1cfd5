"""Tables of an evaluation, for the console (rich) and in Markdown."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ecgexp.evaluation.evaluator import Evaluation
from ecgexp.evaluation.metrics import causes
from ecgexp.evaluation.missing import AVERAGES, over
from ecgexp.evaluation.names import metric_names
from ecgexp.formatting import number_text, score_text

if TYPE_CHECKING:
    from rich.console import Group

_OVERALL = (
    ("accuracy", "accuracy"),
    ("balanced accuracy", "balanced_accuracy"),
    ("macro F1", "macro_f1"),
    ("κ", "kappa"),
    ("jk index", "jk_index"),
    ("AUROC, mean", "auroc_macro"),
    ("AUPRC, mean", "auprc_macro"),
    ("log loss", "loss"),
    ("calibration error", "expected_calibration_error"),
)
_PER_CLASS = (
    ("sensitivity", "sensitivity"),
    ("+P", "positive_predictivity"),
    ("specificity", "specificity"),
    ("F1", "f1"),
    ("AUROC", "auroc"),
)


def summary_table(evaluation: Evaluation, *, title: str) -> "Group":
    """Create tables of per-class and overall scores, intervals and the majority-class baseline.

    Args:
      evaluation: The evaluation.
      title: Title with model, data and split.

    Returns:
      The title, the tables and a caption.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[Text | Table] = [Text(title, style="bold")]
    for header, rows in (
        (_class_header(), _class_rows(evaluation)),
        (_overall_header(evaluation), _overall_rows(evaluation)),
    ):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for i, name in enumerate(header):
            table.add_column(name, justify="left" if i == 0 else "right", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        parts.append(table)
    return Group(*parts, Text(_caption(evaluation)))


def summary_markdown(evaluation: Evaluation, *, title: str) -> str:
    """Create the table of `summary_table` in GitHub Markdown.

    Args:
      evaluation: The evaluation.
      title: Title with model, data and split.

    Returns:
      The text.
    """
    blocks = [f"**{title}**"]
    for header, rows in (
        (_class_header(), _class_rows(evaluation)),
        (_overall_header(evaluation), _overall_rows(evaluation)),
    ):
        lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
        blocks.append(
            "\n".join(
                f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |"
                for line in lines
            )
        )
    return "\n\n".join([*blocks, _caption(evaluation)]) + "\n"


def class_intervals(evaluation: Evaluation) -> str:
    """Return the F1 of each class with its interval in one line; empty without intervals.

    Args:
      evaluation: The evaluation.
    """
    names = zip(evaluation.class_names, metric_names(evaluation.class_names), strict=True)
    parts = [
        f"{name} {score_text(evaluation.scores.values[f'f1/{key}'])} "
        f"({score_text(found.low)} to {score_text(found.high)})"
        for name, key in names
        if (found := evaluation.intervals.get(f"f1/{key}")) is not None
    ]
    return f"F1 with 95 % interval: {' · '.join(parts)}" if parts else ""


def _class_header() -> list[str]:
    return ["class", "beats", *(name for name, _ in _PER_CLASS)]


def _class_rows(evaluation: Evaluation) -> Iterator[list[str]]:
    values = evaluation.scores.values
    for name, key in zip(evaluation.class_names, metric_names(evaluation.class_names), strict=True):
        yield [
            name,
            f"{values[f'support/{key}']:.0f}",
            *(score_text(values[f"{score}/{key}"]) for _, score in _PER_CLASS),
        ]


def _overall_header(evaluation: Evaluation) -> list[str]:
    return ["", "score", "95 % interval", f"majority class ({evaluation.majority_class})"]


def _overall_rows(evaluation: Evaluation) -> Iterator[list[str]]:
    for name, key in _OVERALL:
        if key in evaluation.scores.values:
            interval = evaluation.intervals.get(key)
            between = (
                f"{score_text(interval.low)} to {score_text(interval.high)}" if interval else ""
            )
            baseline = evaluation.majority.values.get(key)
            averaged = (
                over(evaluation.classes_in_average, evaluation.class_names)
                if key in AVERAGES
                else ""
            )
            yield [
                f"{name}, {averaged}" if averaged else name,
                score_text(evaluation.scores.values[key]),
                between,
                "" if baseline is None else score_text(baseline),
            ]


def _caption(evaluation: Evaluation) -> str:
    undefined = [
        f"{', '.join(keys)}: {cause}" for cause, keys in causes(evaluation.undefined).items()
    ]
    intervals = (
        f"intervals: {evaluation.intervals_note}"
        if evaluation.intervals
        else evaluation.intervals_note
    )
    note = f"{number_text(evaluation.num_beats, 'beat')}; {intervals}"
    return f"{note}; – is undefined ({'; '.join(undefined)})" if undefined else note
