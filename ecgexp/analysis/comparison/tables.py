"""A run comparison as text tables of at most 80 columns."""

import math
from collections.abc import Iterator
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ecgexp.analysis.comparison.reading import Differing, PrivacyGuarantee
from ecgexp.analysis.comparison.run_comparison import RunComparison
from ecgexp.analysis.find_runs import StoredRun
from ecgexp.evaluation.paired_differences import PairedDifferences
from ecgexp.evaluation.paired_tests import McNemar, SignFlip
from ecgexp.formatting import difference_text, epsilon_text, number_text, p_value_text
from ecgexp.settings.option_names import option_name, typed_option

_CLASS = "._target_"
_NAMED_BY_CLASS = ("model", "features")  # groups whose default options are named by their class
_TAGGED = ("model", "trainer")  # groups whose chosen option is a tag of the run
_SURE = {True: "yes", False: "no", None: ""}


def render(found: RunComparison) -> Group:
    """Return the verdict, all tables and the notes."""
    parts: list[Any] = [
        Text(f"{key}: {run.name} · {run.run_id}") for key, run in (("A", found.a), ("B", found.b))
    ]
    parts += [Text(warning, style="bold red") for warning in found.warnings]
    parts += [Text(), Text(found.verdict, style="bold"), Text(), *_configuration(found)]
    if found.pairs is not None and found.scores is not None:
        parts += [
            _title(
                f"Scores on {len(found.pairs.labels)} {found.split} beats"
                + (
                    f" of {number_text(found.pairs.num_patients, 'patient')}"
                    if found.pairs.knows_patients
                    else ", patients unknown, beat level only"
                )
            ),
            _scores(found.scores),
            _note(_intervals(found.scores)),
            Text(),
        ]
    if found.by_beat is not None:
        parts += [
            _title("Tests of accuracy"),
            *_tests(found.by_beat, found.by_patient),
            Text(),
        ]
    parts += [
        _title("Privacy"),
        *(
            _guarantee(key, guarantee)
            for key, guarantee in zip("AB", found.guarantees, strict=True)
        ),
    ]
    parts += [Text(), *(_note(f"· {note}") for note in found.notes), Text()]
    return Group(*parts)


def _configuration(found: RunComparison) -> Iterator[Any]:
    yield _title("What differs")
    rows = [*_settings(found), *found.differing.origin]
    if rows:
        table = _table("", "A", "B", right=False)
        for row in rows:
            table.add_row(Text(_name(row)), Text(_value(row.a)), Text(_value(row.b)))
        yield table
    if len(rows) < len(found.differing.settings) + len(found.differing.origin):
        yield _note("without settings of parts that only one run has; --output FILE has them")
    if not found.differing.settings:
        yield _note("no setting that affects the result")
    yield Text()


def _settings(found: RunComparison) -> list[Differing]:
    """Return the settings that differ, by their options where a part is another one.

    Of a part of another class, settings that only one run has are left out.
    """
    every = found.differing.settings
    other_class = {
        group for row in every for group in [row.name.removesuffix(_CLASS)] if group != row.name
    }
    rows = []
    for group in dict.fromkeys(row.name.partition(".")[0] for row in every):
        is_other = group in other_class
        a, b = (_option(run, group, only_typed=not is_other) for run in (found.a, found.b))
        if is_other and a == b:  # classes of one name in two packages
            a, b = (run.params.get(f"{group}{_CLASS}") for run in (found.a, found.b))
        if a != b and (is_other or (a and b)):
            rows.append(Differing(name=group, a=a, b=b))
        for row in every:
            if row.name.partition(".")[0] != group or row.name == f"{group}{_CLASS}":
                continue
            if is_other and (row.a is None or row.b is None):
                continue
            if row.name.endswith(_CLASS):
                row = Differing(  # noqa: PLW2901
                    name=row.name.removesuffix(_CLASS),
                    a=row.a and option_name(row.a),
                    b=row.b and option_name(row.b),
                )
            rows.append(row)
    return rows


def _option(run: StoredRun, group: str, *, only_typed: bool) -> str | None:
    """Return the option of a part that was typed, else that of its class; None without one.

    Args:
      run: A or B.
      group: e.g. `model`.
      only_typed: whether not to name it by its class, because options of most groups share
        one, e.g. `grouping=aami4` and `grouping=aami5`.
    """
    part = run.params.get(f"{group}{_CLASS}")
    if not part:
        return None
    # The tag `privacy` is the statement of ε.
    tagged = run.tags.get(group) if group in _TAGGED else None
    typed = tagged or typed_option(group, run.tags.get("command", ""))
    if only_typed and group not in _NAMED_BY_CLASS:
        return typed or None
    return typed or option_name(part).removesuffix(f"_{group}")


def _name(row: Differing) -> str:
    return row.name + (" (B only)" if row.a is None else " (A only)" if row.b is None else "")


def _value(value: str | None) -> str:
    return "–" if value is None else value


def _scores(scores: PairedDifferences) -> Table:
    table = _table("", "A", "B", "B − A", "95 % interval", "excludes 0")
    for row in scores.differences:
        between = (
            f"{difference_text(row.interval.low)} to {difference_text(row.interval.high)}"
            if row.interval
            else ""
        )
        style = "bold" if row is scores.decisive else ""
        cells = (
            row.name,
            difference_text(row.a),
            difference_text(row.b),
            difference_text(row.difference),
            between,
            _SURE[row.leaves_zero_out],
        )
        table.add_row(*map(Text, cells), style=style)
    return table


def _intervals(scores: PairedDifferences) -> str:
    known = any(row.interval for row in scores.differences)
    missing = [
        f"{row.name}: {row.missing}"
        for row in scores.differences
        if row.missing and not row.interval and not math.isnan(row.difference)
    ]
    undefined = (
        ["– is not defined"]
        if any(math.isnan(row.difference) for row in scores.differences)
        else []
    )
    return "; ".join(
        [f"intervals of B − A: {scores.note}" if known else scores.note, *missing, *undefined]
    )


def _tests(by_beat: McNemar, by_patient: SignFlip | None) -> Iterator[Any]:
    table = _table("beats", "B right", "B wrong")
    table.add_row("A right", str(by_beat.both_right), str(by_beat.only_a_right))
    table.add_row("A wrong", str(by_beat.only_b_right), str(by_beat.both_wrong))
    yield table
    how = (
        "exact"
        if by_beat.statistic is None
        else f"χ² = {by_beat.statistic:.2f} with continuity correction"
    )
    if not by_beat.only_a_right + by_beat.only_b_right:
        yield _note("no test is possible: both runs are right and wrong on the same beats")
        return
    yield Text(f"McNemar: p = {p_value_text(by_beat.p_value)} ({how})")
    yield _note(
        "tests whether each is right equally often where the other is wrong; beats of one patient "
        "are not independent, so this p is too small"
    )
    if by_patient is None:
        yield _note("no test over patients, since the patients of these beats are unknown")
        return
    yield Text(
        f"Sign flips over patients: p = {p_value_text(by_patient.p_value)} (B better in "
        f"{by_patient.better}, A in {by_patient.worse}, equal in {by_patient.equal})"
    )
    informative = by_patient.better + by_patient.worse
    if not informative:
        yield _note("p is 1: each patient has as many correct predictions of A as of B")
        return
    patients = "1 patient that differs" if informative == 1 else f"{informative} that differ"
    yield _note(
        "exact: how often accuracy would differ as much if A and B were swapped at random per "
        f"patient; with {patients}, p cannot be below {by_patient.smallest_p_value:.2g}"
    )


def _guarantee(key: str, guarantee: PrivacyGuarantee) -> Text:
    if guarantee.epsilon is None:
        return Text(f"{key}: no privacy guarantee")
    delta = "" if guarantee.delta is None else f", δ = {guarantee.delta:g}"
    unit = f", of a {guarantee.unit}" if guarantee.unit else ""
    rows = f" ({guarantee.rows_per_unit} overlapping rows)" if guarantee.rows_per_unit > 1 else ""
    beside = ""
    if guarantee.overlapping_rows > guarantee.rows_per_unit:
        bound = (
            "not known"
            if guarantee.epsilon_overlap is None
            else epsilon_text(guarantee.epsilon_overlap)
        )
        beside = f"; of {guarantee.overlapping_rows} rows that share samples: {bound}"
    return Text(f"{key}: ε = {epsilon_text(guarantee.epsilon)}{delta}{unit}{rows}{beside}")


def _table(*columns: str, right: bool = True) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for i, column in enumerate(columns):
        table.add_column(
            column,
            justify="right" if right and i else "left",
            header_style="bold",
            no_wrap=right,
            overflow="fold",
        )
    return table


def _title(text: str) -> Text:
    return Text(text, style="bold cyan")


def _note(text: str) -> Text:
    return Text(text, style="dim")
