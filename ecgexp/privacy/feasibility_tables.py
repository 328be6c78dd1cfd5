"""Feasibility as tables for the console: plain text of at most 80 columns."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ecgexp.formatting import count_text, epsilon_text, significant_text
from ecgexp.privacy.feasibility import (
    Feasibility,
    NoiseNeeded,
)
from ecgexp.privacy.hypothetical import HypotheticalPopulation
from ecgexp.privacy.noise_table import NoiseRow
from ecgexp.privacy.plan import PrivacyPlan

_DRAWN = {
    "poisson": "each {unit} joins each {step} with probability q",
    "shuffle": "each {unit} joins one {step} of each pass",
    "fixed": "cohorts of constant size, drawn without replacement",
}


def render(found: Feasibility) -> Group:
    """Lay out the tables, with hypothetical populations in a separate, labeled table."""
    return Group(
        *(
            part
            for block in (_at_this_noise(found), _for_hypothetical(found), _needed(found))
            for part in block
        )
    )


def render_noise(rows: Sequence[NoiseRow]) -> Group:
    """Lay out the noise against ε, length of training and batch size."""
    plan = rows[0].plan
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("settings", header_style="bold", no_wrap=True)
    for column in ("ε", *(f"for ε {target:g}" for target in rows[0].needed)):
        table.add_column(column, justify="right", header_style="bold", no_wrap=True)
    for row in rows:
        # Rounded up, as ε is: with less noise the target would be exceeded.
        needed = ["infeasible" if z is None else epsilon_text(z) for z in row.needed.values()]
        table.add_row(row.settings or "this run", epsilon_text(row.epsilon), *needed)
    return Group(
        _title(f"ε at noise multiplier {plan.noise_multiplier:.4g}, and noise for other ε"),
        table,
        _note(
            f"{count_text(plan.num_units)} {plan.unit}s, δ {plan.delta:g}, "
            f"{plan.accountant.upper()}; the values of ε are upper bounds within 0.1 %."
        ),
    )


def _at_this_noise(found: Feasibility) -> list[Any]:
    plan = found.base
    unit, step = plan.unit, _step(plan)
    drawn = _DRAWN[plan.sampling].format(unit=unit, step=step)
    if plan.expected_batch_size == plan.num_units:
        drawn = f"every {unit} joins every {step}"
    table = _table(f"{unit}s", "cohort", "q", "δ", "ε (PLD)", "ε (RDP)")
    for plan_epsilon in found.epsilons:
        own = plan_epsilon.plan
        table.add_row(
            count_text(own.num_units),
            count_text(own.expected_batch_size),
            significant_text(own.sampling_probability),
            f"{own.delta:g}",
            epsilon_text(plan_epsilon.epsilon_pld),
            epsilon_text(plan_epsilon.epsilon_rdp),
        )
    between = "replaced" if plan.neighboring_relation == "replace_one" else "added or removed"
    heading = (
        f"ε at this noise: noise multiplier {plan.noise_multiplier:.4g}, "
        f"{count_text(plan.iterations)} {step}s"
    )
    return [_title(heading), table, _note(f"One {unit} {between}; {drawn}."), Text()]


def _for_hypothetical(found: Feasibility) -> list[Any]:
    if not found.hypothetical_populations:
        return []
    plan = found.base
    table = _table(
        "population", "cohort", "δ", "as in the run", "noise multiplier", "ε (PLD)", "ε (RDP)"
    )
    for hypothetical_population in found.hypothetical_populations:
        _add_hypothetical_population(table, hypothetical_population)
    source = f"{count_text(plan.expected_batch_size)} of {count_text(plan.num_units)}"
    return [
        _title("Hypothetical populations — not a guarantee"),
        table,
        _note(
            f"The cohort fraction is {source}, in a larger population. The value that is as in the "
            "run is either the noise multiplier (noise) or the noise on the mean update (mean), "
            "which determines utility and which larger cohorts reduce."
        ),
        Text(),
    ]


def _add_hypothetical_population(
    table: Table, hypothetical_population: HypotheticalPopulation
) -> None:
    for kept, plan_epsilon in (
        ("noise", hypothetical_population.same_noise),
        ("mean", hypothetical_population.same_utility),
    ):
        plan = plan_epsilon.plan
        table.add_row(
            count_text(plan.num_units),
            count_text(plan.expected_batch_size),
            f"{plan.delta:g}",
            kept,
            significant_text(plan.noise_multiplier),
            epsilon_text(plan_epsilon.epsilon_pld),
            epsilon_text(plan_epsilon.epsilon_rdp),
        )


def _needed(found: Feasibility) -> list[Any]:
    plan = found.base
    table = _table("ε", "noise multiplier", "noise on the mean", "signal at most", "noise / signal")
    for row in found.needed:
        table.add_row(*_needed_row(row))
    source = f"{count_text(plan.expected_batch_size)} of {count_text(plan.num_units)} {plan.unit}s"
    return [
        _title(
            f"Noise needed: {source}, {count_text(plan.iterations)} {_step(plan)}s, δ "
            f"{plan.delta:g}, "
            f"{plan.accountant.upper()}"
        ),
        table,
        _note(
            f"Norms over the {count_text(found.num_parameters)} weights of a model, at clip "
            f"{plan.l2_norm_clip:g}. The noise is spread over all directions and averages out over "
            "the steps, so learning is possible with a ratio above 1."
        ),
        *([Text(found.caution(), style="bold")] if found.caution() else []),
    ]


def _needed_row(row: NoiseNeeded) -> Sequence[str]:
    if row.noise_multiplier is None:
        return f"{row.target_epsilon:g}", "infeasible", "–", significant_text(row.signal_norm), "–"
    beside = (row.noise_norm, row.signal_norm, row.noise_to_signal)
    # Rounded up, as ε is: with less noise the target would be exceeded.
    needed = epsilon_text(row.noise_multiplier)
    return f"{row.target_epsilon:g}", needed, *map(significant_text, beside)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right", header_style="bold", no_wrap=True)
    return table


def _step(plan: PrivacyPlan) -> str:
    return "round" if plan.unit == "patient" else "step"


def _title(text: str) -> Text:
    return Text(text, style="bold cyan")


def _note(text: str) -> Text:
    return Text(text, style="dim")
