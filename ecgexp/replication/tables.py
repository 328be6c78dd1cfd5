"""The results of the study as tables: for the console, as Markdown and as CSV."""

import csv
import io
from collections.abc import Sequence

from rich import box
from rich.table import Table

from ecgexp.formatting import epsilon_text, score_text
from ecgexp.replication.gather import StageResult
from ecgexp.replication.reported_epsilon import Ladder

_SCORES = ("accuracy", "macro_f1")
# Column of the CSV -> metric.
_COLUMNS = {
    "accuracy": "test/accuracy",
    "macro_f1": "test/macro_f1",
    "always_commonest": "test/majority/accuracy",
    "epsilon_as_printed": "replication/epsilon_as_printed",
    "epsilon_had_it_run": "replication/epsilon_had_it_run",
    "epsilon": "privacy/epsilon",
}
LADDER_NAMES = {
    "as_printed": "as printed",
    "right_count": "row count corrected, RDP",
    "tight": "row count corrected, PLD",
    "ten_copies": "ten copies of each beat",
    "no_amplification": "shuffled batches",
    "that_ran": "executed steps",
}


def study_tables(measured: Sequence[StageResult]) -> list[Table]:
    """Return one table for each protocol, with one row for each stage: scores and their change.

    Args:
      measured: the stages, in order, each with its runs.
    """
    protocols = dict.fromkeys(one.stage.protocol for one in measured)
    return [
        _study_table([one for one in measured if one.stage.protocol == protocol])
        for protocol in protocols
    ]


def _study_table(measured: Sequence[StageResult]) -> Table:
    protocol = measured[0].stage.protocol
    table = Table(
        box=box.SIMPLE_HEAD, title=f"experiment=replication/{protocol}", title_justify="left"
    )
    scores = (
        ("accuracy", "macro F1")
        if protocol == "dp"
        else ("accuracy", "change", "macro F1", "change")
    )
    epsilons = ("ε printed", "ε noised") if protocol == "dp" else ()
    table.add_column("protocol errors", min_width=20, overflow="fold")
    for name in (*scores, "majority", *epsilons):
        table.add_column(name, justify="right", no_wrap=True)
    before: dict[str, float | None] = {}
    for one in measured:
        cells = []
        for score in _SCORES:
            now = one.mean(f"test/{score}")
            cells += [
                _with_range(one.values(f"test/{score}")),
                *([] if epsilons else [_change(before.get(score), now)]),
            ]
            before[score] = now
        cells.append(score_text(one.mean("test/majority/accuracy")))
        table.add_row(one.stage.label, *cells, *((_printed(one), _if_run(one)) if epsilons else ()))
    return table


def ladder_table(ladders: Sequence[Ladder]) -> Table:
    """Return one row per noise multiplier: ε as printed, with each error corrected, as executed.

    Args:
      ladders: ε per noise multiplier.
    """
    table = Table(
        box=box.SIMPLE_HEAD,
        title="ε per noise multiplier (no privacy guarantee of any run)",
        title_justify="left",
    )
    table.add_column("noise", justify="right")
    for name in LADDER_NAMES.values():
        table.add_column(name, justify="right")
    for ladder in ladders:
        values = [getattr(ladder, name) for name in LADDER_NAMES]
        table.add_row(f"{ladder.noise_multiplier:g}", *map(epsilon_text, values))
    return table


def study_markdown(measured: Sequence[StageResult], ladders: Sequence[Ladder]) -> str:
    """Return both tables as GitHub Markdown.

    Args:
      measured: the stages, in order, each with its runs.
      ladders: ε per noise multiplier.
    """
    lines = [
        "| protocol | protocol error removed | accuracy | macro F1 | majority-class baseline | ε "
        "as printed | ε with the noise |",
        "| --- | --- | --: | --: | --: | --: | --: |",
    ]
    for one in measured:
        protocol = "" if one.stage.corrected else f"`replication/{one.stage.protocol}`"
        removed = ", ".join(f"`{name}`" for name in one.stage.corrected) or one.stage.label
        cells = [
            _with_range(one.values(f"test/{score}")) for score in (*_SCORES, "majority/accuracy")
        ]
        lines.append(
            f"| {protocol} | {removed} | {' | '.join(cells)} | {_printed(one)} | {_if_run(one)} |"
        )
    noises = " | ".join(f"{ladder.noise_multiplier:g}" for ladder in ladders)
    lines += ["", f"| ε at noise multiplier | {noises} |", f"| --- |{' --: |' * len(ladders)}"]
    for name, label in LADDER_NAMES.items():
        values = [getattr(ladder, name) for ladder in ladders]
        lines.append(f"| {label} | {' | '.join(map(epsilon_text, values))} |")
    return "\n".join(lines)


def study_csv(measured: Sequence[StageResult], ladders: Sequence[Ladder]) -> str:
    """Return both tables as CSV: a row for each stage and seed, then one for each noise multiplier.

    Args:
      measured: the stages, in order, each with its runs.
      ladders: ε per noise multiplier.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    ladder_columns = [f"epsilon_{name}" for name in LADDER_NAMES]
    writer.writerow(
        [
            "protocol",
            "corrected",
            "errors_left",
            "seed",
            "run_id",
            "noise_multiplier",
            *_COLUMNS,
            *ladder_columns[1:],
        ]
    )
    for one in measured:
        for run in one.runs:
            writer.writerow(
                [
                    one.stage.protocol,
                    " ".join(one.stage.corrected),
                    " ".join(one.stage.left),
                    run.seed,
                    run.run_id,
                    run.noise_multiplier,
                    *(run.metrics.get(metric, "") for metric in _COLUMNS.values()),
                    *[""] * (len(LADDER_NAMES) - 1),
                ]
            )
    for ladder in ladders:
        printed, *others = (getattr(ladder, name) for name in LADDER_NAMES)
        cells = [printed if column == "epsilon_as_printed" else "" for column in _COLUMNS]
        writer.writerow(["ladder", "", "", "", "", ladder.noise_multiplier, *cells, *others])
    return out.getvalue()


def _printed(one: StageResult) -> str:
    protected = one.mean("privacy/epsilon")
    return _epsilon(one.mean("replication/epsilon_as_printed") if protected is None else protected)


def _if_run(one: StageResult) -> str:
    """Return ε of the steps with their noise.

    In brackets is that of the executed steps if no noise was added.
    """
    value = one.mean("replication/epsilon_had_it_run")
    if value is None:
        return _epsilon(one.mean("privacy/epsilon"))
    return epsilon_text(value) + (" (∞)" if "noise_never_runs" in one.stage.left else "")


def _with_range(values: Sequence[float]) -> str:
    if not values:
        return "not run"
    mean = score_text(sum(values) / len(values))
    return (
        mean
        if len(values) == 1
        else f"{mean} ({score_text(min(values))} to {score_text(max(values))})"
    )


def _change(before: float | None, now: float | None) -> str:
    return "" if before is None or now is None else f"{now - before:+.3f}"


def _epsilon(value: float | None) -> str:
    return "" if value is None else epsilon_text(value, decimals=2)
