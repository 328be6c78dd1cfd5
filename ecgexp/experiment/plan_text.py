"""The plan of a run as one block of text, for the console."""

from rich.table import Table
from rich.text import Text

from ecgexp.data.beats import PatientsAre
from ecgexp.experiment.memory import MemoryEstimate
from ecgexp.experiment.plan import RunPlan, SplitSize
from ecgexp.formatting import BLANK, count_text, epsilon_text, number_text, significant_text
from ecgexp.privacy.outputs import PRIVATE_FOLDER
from ecgexp.privacy.statement import PrivacyStatement

_SAMPLING = {
    "poisson": "Poisson sampling with q{blank}= {q}",
    "shuffle": "each {unit} in one batch of every epoch",
    "fixed": "cohorts of constant size",
}
_WITHHELD = {
    "beat": "classes and patients",
    "record": "beats, classes and patients",
    "patient": "beats and classes",
}
_CHANGED = {"add_or_remove_one": "added or removed", "replace_one": "replaced"}


def render(plan: RunPlan) -> Table:
    """Lay out a plan: one row for each split, the model, the training, privacy and memory."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows(plan):
        table.add_row(name, Text(text))
    return table


def rows(plan: RunPlan) -> list[tuple[str, str]]:
    """Return the rows of the block: name, text.

    Args:
      plan: of a run.
    """
    names = {"train": "training", "validation": "validation", "test": "test"}
    splits = {
        names[name]: _split(plan.splits[name], plan.patients_are)
        if name in plan.splits
        else _withheld(plan)
        for name in names
    }
    return [
        *splits.items(),
        ("model", _model(plan)),
        ("steps", _steps(plan)),
        ("privacy", _privacy(plan)),
        ("memory", _memory(plan.memory)),
    ]


def _model(plan: RunPlan) -> str:
    """Return the model; the size of a classical one is known after its fit only."""
    if not plan.num_parameters:
        return plan.model
    return f"{plan.model}, {number_text(plan.num_parameters, 'parameter')}"


def _split(size: SplitSize, patients_are: PatientsAre) -> str:
    if not size.beats:
        return "no beats"
    classes = " · ".join(f"{name} {count_text(number)}" for name, number in size.classes.items())
    if size.patients is None:
        return f"{number_text(size.beats, 'beat')}, patients unknown: {classes}"
    patients = (
        f"{number_text(size.patients, 'record')}, each taken for a patient"
        if patients_are == "assumed"
        else number_text(size.patients, "patient")
    )
    return f"{number_text(size.beats, 'beat')} of {patients}: {classes}"


def _withheld(plan: RunPlan) -> str:
    """Return the training set as far as it is public: its number of units."""
    if plan.statement is None:
        return "–"
    own = plan.statement.plan
    return (
        f"{number_text(own.num_units, own.unit)}; {_WITHHELD[own.unit]} only in {PRIVATE_FOLDER}/, "
        "because no ε covers them"
    )


def _steps(plan: RunPlan) -> str:
    if plan.step_name == "round":
        return f"{number_text(plan.num_steps, 'round')} of {number_text(plan.batch, 'client')}"
    if plan.step_name == "fit":
        return f"one fit to {number_text(plan.batch, 'beat')}"
    per_epoch = -(-plan.updates // plan.num_steps)
    unit = "beat" if plan.statement is None else plan.statement.plan.unit
    batch = number_text(plan.batch, unit)
    return (
        f"{number_text(plan.num_steps, plan.step_name)} of {number_text(per_epoch, 'step')}"
        f"{', of expected ' if plan.statement is not None else ' of '}{batch}; "
        f"{number_text(plan.updates, 'step')} in all"
    )


def _privacy(plan: RunPlan) -> str:
    statement = plan.statement
    if statement is None:
        return "no guarantee, no ε (privacy=none)"
    own = statement.plan
    calibrated = (
        "" if plan.target_epsilon is None else f" (calibrated for ε {plan.target_epsilon:g})"
    )
    q = significant_text(own.sampling_probability)
    sampling = _SAMPLING[own.sampling].format(blank=BLANK, q=q, unit=own.unit)
    return (
        f"{_epsilon(statement)}; noise multiplier {own.noise_multiplier:.4g}{calibrated}, clip "
        f"{own.l2_norm_clip:g}; {sampling}, {number_text(statement.steps, 'noisy step')}"
    )


def _epsilon(statement: PrivacyStatement) -> str:
    """Return the guarantee to come."""
    own = statement.plan
    if own.is_simulation:
        return "a simulation without a guarantee (privacy.noise_seed)"
    if not statement.has_privacy_guarantee:
        return "no guarantee: ε is infinite"
    return (
        f"ε{BLANK}= {epsilon_text(statement.epsilon, decimals=2)} at δ{BLANK}{own.delta:g} when it "
        f"ends, for one {own.unit} {_CHANGED[own.neighboring_relation]} "
        f"({statement.bound_by.upper()})"
    )


def _memory(memory: MemoryEstimate) -> str:
    without = ", and the training beats" if memory.without_training_beats else ""
    at_once = f"{number_text(memory.rows_at_once, 'row')} at once {gigabytes(memory.batch)}"
    parts = [
        f"libraries {gigabytes(memory.process)}",
        f"beats {gigabytes(memory.beats)}",
        *([f"model {gigabytes(memory.model)}", at_once] if memory.batch_setting else []),
    ]
    return f"about {gigabytes(memory.total)}{without}: {', '.join(parts)}"


def gigabytes(number: int) -> str:
    """Format a number of bytes: `1.2 GB`, `35 MB`."""
    if number < 999_500_000:
        return f"{max(1, round(number / 1e6))}{BLANK}MB"
    return f"{number / 1e9:.1f}{BLANK}GB"
