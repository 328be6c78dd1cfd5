"""The words of the privacy statement: one line to quote, and several paragraphs."""

from typing import TYPE_CHECKING

from ecgexp.formatting import epsilon_text, number_text
from ecgexp.privacy import outputs, publication
from ecgexp.privacy.plan import PrivacyPlan

if TYPE_CHECKING:
    from ecgexp.privacy.statement import AdaptiveClip, PrivacyStatement

_SAMPLING = {
    "poisson": "Each {unit} entered each batch independently with probability q = {q:.6g}",
    "shuffle": "Each {unit} entered exactly one batch of each epoch, drawn uniformly and "
    "independently of the others (balls-and-bins sampling, Chua et al. 2024); amplification by "
    "sampling is not used",
    "fixed": "Each cohort had exactly {batch} of {n} units, drawn without replacement "
    "(q = {q:.6g}); neighboring training sets have the same size and differ in one replaced unit, "
    "so this ε is not comparable with one for adding or removing a unit",
}
_ASSUMPTIONS = (
    "Assumptions: central DP. Whoever runs the training, in a federated run the server, is trusted "
    "and has the contribution of each unit without noise; the guarantee is against those who "
    "receive the weights. It is proved for exact arithmetic and for Gaussian noise that nobody can "
    "predict. The noise of this run was computed in floating point and rounded to float32, by a "
    "generator (Philox) that is statistical and not cryptographic; attacks on either are not "
    "excluded (SECURITY.md)."
)
_NEIGHBORS = {"add_or_remove_one": "add or remove one", "replace_one": "replace one"}


def line(statement: "PrivacyStatement") -> str:
    """Return the statement as one line, as it is to be quoted."""
    if not statement.has_privacy_guarantee:
        return _no_guarantee(statement.plan)
    plan, other = statement.plan, "rdp" if statement.bound_by == "pld" else "pld"
    second = statement.epsilon_rdp if other == "rdp" else statement.epsilon_pld
    beside = "" if second is None else f" ({other.upper()} {epsilon_text(second, decimals=2)})"
    return (
        f"ε = {epsilon_text(statement.epsilon, decimals=2)} (δ {plan.delta:g}) · unit: "
        f"{_unit(plan)} · neighboring relation: {_NEIGHBORS[plan.neighboring_relation]} · "
        f"sampler: {_sampler(plan)}, {number_text(statement.steps, 'step')}"
        f"{_discarded(statement)} · "
        f"accountant: {statement.bound_by.upper()}{beside}{_overlap_words(statement)} · not "
        f"covered: {', '.join(_short(statement))}{_taught_by(statement)}{_rests_on(statement)}"
    )


def text(statement: "PrivacyStatement") -> str:
    """Return the statement as several paragraphs, for an artifact."""
    plan = statement.plan
    hypothetical_population = (
        ""
        if statement.hypothetical_population is None
        else statement.hypothetical_population.text()
    )
    if statement.has_privacy_guarantee:
        about = [
            _guarantee(statement),
            _ASSUMPTIONS,
            _of_teacher(statement),
            _of_plugins(statement),
            _rows(statement),
            _mechanism(statement),
            _beside(statement),
        ]
        paragraphs = [
            line(statement),
            *about,
            _left_out(statement),
            _kept(statement),
            hypothetical_population,
        ]
    else:
        paragraphs = [_no_guarantee(plan), hypothetical_population]
    return "\n\n".join(part for part in paragraphs if part) + "\n"


def _taught_by(statement: "PrivacyStatement") -> str:
    return (
        "" if statement.teacher is None else f", whom the teacher has seen: {statement.teacher[1]}"
    )


def _of_teacher(statement: "PrivacyStatement") -> str:
    """Say what a teacher is to the guarantee; empty without one."""
    if statement.teacher is None:
        return ""
    name, seen = statement.teacher
    return (
        f"The model was also trained on the probabilities of a teacher, {name}, which has seen "
        f"{seen}. ε says nothing about these patients; they were checked to be others than those "
        "that it protects, by name and by their beats. For the guarantee the teacher is a constant."
    )


def _rests_on(statement: "PrivacyStatement") -> str:
    parts = [part for part, _ in statement.assumptions]
    return f" · rests on code of plug-ins: {', '.join(parts)}" if parts else ""


def _of_plugins(statement: "PrivacyStatement") -> str:
    """Say what is assumed of the parts that come from plug-ins; empty without them."""
    if not statement.assumptions:
        return ""
    return "\n".join(
        [
            "Parts of this run are code of plug-ins, which could read anything. Assumed of it:",
            *(f"- {part}: {assumed};" for part, assumed in statement.assumptions),
        ]
    )


def _discarded(statement: "PrivacyStatement") -> str:
    what = "started epoch" if statement.plan.epoch_is_one_event else "step"
    return (
        f" and {number_text(statement.discarded_steps, what)} discarded by an interruption"
        if statement.discarded_steps
        else ""
    )


def _overlap_words(statement: "PrivacyStatement") -> str:
    rows = statement.plan.overlapping_rows
    if rows <= statement.plan.rows_per_unit:
        return ""
    found = (
        "not known"
        if statement.epsilon_overlap is None
        else epsilon_text(statement.epsilon_overlap, decimals=2)
    )
    return f" · ε of {rows} rows that share samples: {found}"


def _short(statement: "PrivacyStatement") -> list[str]:
    if statement.search is None:
        return list(statement.not_covered)
    runs, epsilon = statement.search
    together = epsilon_text(epsilon, decimals=2)
    words = f"hyperparameter search (ε of all {runs} runs together: {together})"
    return [words if topic == "hyperparameters" else topic for topic in statement.not_covered]


def _guarantee(statement: "PrivacyStatement") -> str:
    plan = statement.plan
    change = "added or removed" if plan.neighboring_relation == "add_or_remove_one" else "replaced"
    views = ", with all its augmented views" if plan.unit == "beat" else ", with all its beats"
    return (
        "The trained weights, and all intermediate weights of the training, are "
        f"({epsilon_text(statement.epsilon, digits=4)}, {plan.delta:g})-differentially private for "
        f"two training sets that differ in one {plan.unit} {change}. One unit is one "
        f"{plan.unit}{views}. There are {plan.num_units} units, and n·δ = "
        f"{plan.num_units * plan.delta:.2g}."
        + (
            " With so few units ε is either too large to protect a unit in practice, or needs "
            "noise that prevents most learning: check ε before relying on it."
            if plan.num_units < 100
            else ""
        )
    )


def _rows(statement: "PrivacyStatement") -> str:
    """Say how many rows one heartbeat has, where windows overlap."""
    plan, parts = statement.plan, []
    if plan.rows_per_unit > 1:
        parts.append(
            "A window may contain the R peaks of other beats: one heartbeat is in up to "
            f"{plan.rows_per_unit} rows, and ε is that of all rows that contain its peak "
            "together, each sampled and clipped separately (a mixture of Gaussians)."
        )
    elif plan.unit == "beat" and not plan.overlap_is_known:
        parts.append(
            "The unit is one row of the file. The rows were not cut here, so that it is unknown in "
            "how many of them one heartbeat is: ε is that of one row, and not of one heartbeat."
        )
    elif plan.unit == "beat":
        parts.append(
            "The unit is one row, the window of one beat; no window contains the R peak of "
            "another beat."
        )
    if plan.overlapping_rows > plan.rows_per_unit:
        found = (
            "is not known"
            if statement.epsilon_overlap is None
            else f"is {epsilon_text(statement.epsilon_overlap, digits=4)}"
        )
        parts.append(
            f"Windows overlap: up to {plan.overlapping_rows} rows share samples with one "
            f"heartbeat's window. For all of them together ε {found} at the same δ."
        )
    if max(plan.rows_per_unit, plan.overlapping_rows) > 1:
        parts.append(
            "These numbers of rows come from the training beats and are assumed to be public, "
            "as is the number of units."
        )
    return " ".join(parts)


def _mechanism(statement: "PrivacyStatement") -> str:
    plan = statement.plan
    sampling = _SAMPLING[plan.sampling].format(
        unit=plan.unit,
        q=plan.sampling_probability,
        batch=plan.expected_batch_size,
        n=plan.num_units,
    )
    cut = (
        f" Batches above {plan.batch_capacity} were truncated at random, which ε includes."
        if plan.can_overflow
        else ""
    )
    if statement.adaptive_clip is None:
        clipped = f"was clipped to norm {plan.l2_norm_clip:g}, Gaussian noise of standard "
        clipped += f"deviation {plan.noise_std:.6g} was added to the sum"
        adaptive = ""
    else:
        clipped = "was clipped to the norm set for that step, Gaussian noise was added to the sum"
        adaptive = f" {_adaptive(statement.adaptive_clip, plan)}"
    return (
        f"{sampling}.{cut} In each of {number_text(statement.steps, 'step')} the "
        f"contribution of a unit {clipped}, and the result was divided by "
        f"{plan.divisor:g}, independently of the number of units drawn.{adaptive} Samples, "
        "noise, views and dropout came from keys of the operating system's entropy, not from "
        "the logged seed, and the keys were not stored. The guarantee holds for intermediate "
        "weights, but a checkpoint file made during training also has statistics of the "
        "training data without noise: it is private data and must not be shared."
    )


def _adaptive(clip: "AdaptiveClip", plan: PrivacyPlan) -> str:
    return (
        f"The clip was adaptive (Andrew et al. 2021): it began at {plan.l2_norm_clip:g} and "
        f"followed the {clip.quantile:g}-quantile of the norms of the contributions. Each step "
        "made two noisy releases: the sum, with noise of standard deviation "
        f"{clip.update_noise_multiplier:.6g} times the clip of that step, and the number of "
        "contributions within the clip (each counts as +1/2 or -1/2), with noise of standard "
        f"deviation {clip.count_stddev:.6g}. Together they have the privacy loss of one "
        f"Gaussian mechanism with noise multiplier {plan.noise_multiplier:g}, from which ε is "
        "computed."
    )


def _beside(statement: "PrivacyStatement") -> str:
    known = {
        "PLD": statement.epsilon_pld,
        "RDP": statement.epsilon_rdp,
        "PLD, replace one": statement.epsilon_replace_one,
    }
    figures = ", ".join(
        f"{epsilon_text(value, digits=4)} ({name})"
        for name, value in known.items()
        if value is not None
    )
    by = (
        ""
        if statement.bound_by == statement.plan.accountant
        else f" Both bounds are valid, and that of {statement.bound_by.upper()} is smaller."
    )
    return f"ε of the same steps under each accountant: {figures}.{by}"


def _left_out(statement: "PrivacyStatement") -> str:
    return "\n".join(
        ["Not covered:", *(f"- {outputs.TOPICS[topic]};" for topic in statement.not_covered)]
    )


def _kept(statement: "PrivacyStatement") -> str:
    if statement.publishes_all:
        return ""
    lines = [
        f"Not published, and stored in the run's folder {outputs.PRIVATE_FOLDER}/, which must "
        "not be shared:"
    ]
    return "\n".join([*lines, *(f"- {reason};" for reason in publication.withheld_reasons())])


def _unit(plan: PrivacyPlan) -> str:
    if plan.unit == "beat" and not plan.overlap_is_known:
        return "beat (one row of the file)"
    return (
        plan.unit
        if plan.rows_per_unit == 1
        else f"{plan.unit} ({plan.rows_per_unit} overlapping rows)"
    )


def _sampler(plan: PrivacyPlan) -> str:
    if plan.sampling == "shuffle":
        return "balls and bins, no amplification"
    kind = "Poisson" if plan.sampling == "poisson" else "without replacement"
    return f"{kind} q {plan.sampling_probability:.3g}"


def _no_guarantee(plan: PrivacyPlan) -> str:
    if plan.is_simulation:
        return (
            "This run has no privacy guarantee: it is a simulation. Its noise follows from "
            f"privacy.noise_seed={plan.noise_seed}, so anyone who knows the seed can subtract it. "
            "For a guarantee use privacy.noise_seed=null."
        )
    if plan.is_private or plan.noise_multiplier:
        return (
            "This run has no privacy guarantee: its ε is infinite, since "
            f"privacy.noise_multiplier={plan.noise_multiplier:g} is too little noise at δ "
            f"{plan.delta:g}. For a guarantee use a larger one."
        )
    return (
        "This run has no privacy guarantee: no noise was added to what it learned from the "
        "training data."
    )
