"""The privacy plans of a run with more or fewer epochs or rounds, and larger or smaller batches."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ecgexp.experiment.experiment import Experiment
from ecgexp.privacy.plan import PrivacyPlan
from ecgexp.privacy.settings import PrivacySpec
from ecgexp.privacy.unit_checks import Overlap
from ecgexp.settings.declaration import ConfigError

_LENGTHS, _BATCHES = ("epochs", "num_rounds"), ("expected_batch_size", "clients_per_round")
_FACTORS = (0.5, 2.0)


def plan_variants(
    experiment: Experiment, plan: PrivacyPlan, overlap: Overlap | None = None
) -> Mapping[str, PrivacyPlan]:
    """Return plans with half and twice the length of training and batch size of a run.

    They are made by the function that makes the plan of a run, from settings that differ in one
    value.

    Args:
      experiment: of a private run.
      plan: of the run.
      overlap: of the windows of its training rows.

    Returns:
      The setting that differs, as the user writes it -> plan with the noise multiplier of the run;
      first the run itself, under the empty string. Settings that no run can have are left out,
      and all variants of cohorts of constant size, whose accountant takes ten seconds for each.
    """
    trainer, found = experiment.trainer, {"": plan}
    if not isinstance(experiment.privacy, PrivacySpec) or plan.sampling == "fixed":
        return found
    given = replace(
        experiment.privacy,
        noise_multiplier=plan.noise_multiplier,
        target_epsilon=None,
        max_epsilon=None,
        hypothetical_population=None,
    )
    for name in (*_LENGTHS, *_BATCHES):
        value = getattr(trainer, name, None)
        for changed in () if value is None else (round(value * factor) for factor in _FACTORS):
            if not 1 <= changed != value:
                continue
            variant: Any = replace(trainer, **{name: changed})  # pyright: ignore[reportArgumentType]  # a dataclass
            try:
                found[f"trainer.{name}={changed}"] = variant.plan_of(given, plan.num_units, overlap)
            except ConfigError:  # a batch larger than the training set
                continue
    return found
