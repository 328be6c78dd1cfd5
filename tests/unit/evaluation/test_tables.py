import io

import numpy as np
import pytest
from rich.console import Console

from ecgexp.evaluation.evaluator import evaluate
from ecgexp.evaluation.tables import summary_markdown, summary_table

# 100 beats; /: 3 of 5 found, 1 of 4 wrong. A: never predicted.
CONFUSION = np.array([[89, 1, 0], [2, 3, 0], [5, 0, 0]])


@pytest.fixture(scope="module")
def evaluation():
    cells = np.repeat(np.arange(9), CONFUSION.ravel())
    return evaluate(
        labels=cells // 3,
        probabilities=np.eye(3)[cells % 3],
        class_names=("N", "/", "A"),
        record_ids=np.arange(100) % 10,
        patient_ids=np.arange(100) % 10,
        majority_class=0,
        rng=np.random.default_rng(0),
    )


def rendered(table, width=100):
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()


def cells(text, first):
    row = next(line for line in text.splitlines() if line.strip(" |").split(" ")[0] == first)
    return row.replace("|", " ").split()


@pytest.mark.parametrize("form", ["console", "markdown"])
def test_class_has_its_scores_in_its_row(evaluation, form):
    text = (
        rendered(summary_table(evaluation, title="t"))
        if form == "console"
        else summary_markdown(evaluation, title="t")
    )
    assert cells(text, "/")[:6] == ["/", "5", "0.600", "0.750", "0.989", "0.667"]
    assert cells(text, "A")[:6] == ["A", "5", "0.000", "–", "1.000", "0.000"]


@pytest.mark.parametrize("form", ["console", "markdown"])
def test_overall_scores_have_the_majority_baseline(evaluation, form):
    text = (
        rendered(summary_table(evaluation, title="t"))
        if form == "console"
        else summary_markdown(evaluation, title="t")
    )
    interval = evaluation.intervals["accuracy"]
    expected = ["accuracy", "0.920", f"{interval.low:.3f}", "to", f"{interval.high:.3f}", "0.900"]
    assert cells(text, "accuracy") == expected
    assert "majority class (N)" in text
    assert "no beat was predicted A" in " ".join(text.split())


def test_table_fits_a_terminal_of_80_columns(evaluation):
    assert "…" not in rendered(summary_table(evaluation, title="t"), width=80)


def test_markdown_rows_have_the_columns_of_their_header(evaluation):
    blocks = [
        block.splitlines()
        for block in summary_markdown(evaluation, title="t").split("\n\n")
        if block[0] == "|"
    ]
    assert [len(block) for block in blocks] == [2 + 3, 2 + 8]
    for block in blocks:
        assert len({line.count("|") for line in block}) == 1
