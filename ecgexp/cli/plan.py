"""Print the plan of a run before it runs: data, model, steps, memory and the guarantee to come."""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgexp.cli.arguments import Parser, run_command, whole
from ecgexp.cli.streams import command
from ecgexp.settings.declaration import ConfigError

if TYPE_CHECKING:
    from ecgexp.experiment.experiment import Experiment
    from ecgexp.privacy.plan import PrivacyPlan

_EXAMPLE = """\
ecgexp-plan trainer=dp privacy.target_epsilon=3
ecgexp-plan experiment=mitdb_inter_patient_cnn1d_dp_beat trainer.epochs=40
ecgexp-plan trainer=federated privacy=patient privacy.noise_multiplier=1.2 --units 22,44,47"""
_MOST_UNITS = 10**12
_PARAMETERS = 20_000  # of a model that is not built


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script.

    Returns:
      0, or 2 for an error.
    """
    options = _parse(arguments)
    if sys.stderr.isatty():  # someone waits; a script gets an error as the only line
        print("ecgexp-plan: loading the settings", file=sys.stderr, flush=True)
    return run_command("ecgexp-plan", lambda: _print_plan(options))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-plan", description=__doc__, example=_EXAMPLE)
    parser.add_settings()
    parser.add_argument(
        "--config-dir",
        metavar="FOLDER",
        help="your own folder of YAML files, as for ecgexp --config-dir",
    )
    parser.add_argument(
        "--units",
        type=_units,
        metavar="N,N,…",
        help="plan for training sets of so many beats, records or patients (privacy.unit), "
        "without reading data: 22,44,47 are the records of DS1, those of DS1 and DS2 (43 "
        "patients), and all patients of MIT-BIH",
    )
    parser.add_argument(
        "--parameters",
        type=whole(1, 10**12),
        default=_PARAMETERS,
        metavar="D",
        help="with --units: number of weights of the model (%(default)s)",
    )
    return parser.parse_args(arguments)


def _units(text: str) -> list[int]:
    parse = whole(1, _MOST_UNITS)
    return sorted({parse(part) for part in text.split(",")})


def _print_plan(options: argparse.Namespace) -> int:
    # TensorFlow logs harmless messages as errors whenever it is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Imported here, because --help must be fast.
    from ecgexp.config.compose import build_experiment, load_config
    from ecgexp.config.untrusted_overrides import check_typed_once
    from ecgexp.console import Console

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        # First, because it explains an override that cannot be parsed.
        config = load_config(options.overrides, own=options.config_dir)
        check_typed_once(options.overrides)
        experiment = build_experiment(config, base_dir=Path.cwd())
        if options.units is None:
            parts = _of_the_data(experiment)
        else:
            parts = _of_units(experiment, options.units, options.parameters)
    for message in dict.fromkeys(
        str(item.message) for item in caught if item.category is UserWarning
    ):
        print(f"warning: {message}", file=sys.stderr)
    console = Console()
    for part in parts:
        console.print_result(part)
    return 0


def _of_the_data(experiment: "Experiment") -> list[Any]:
    """Returns the plan of a run on its data, by the functions with which the run makes it."""
    from ecgexp.console import Console
    from ecgexp.experiment.plan import plan_of
    from ecgexp.experiment.plan_text import render
    from ecgexp.experiment.setup import load_data, planned_ledger
    from ecgexp.experiment.training_loop import TrainingLoop
    from ecgexp.seeding import Seeds

    experiment.dataset.check_there()
    seeds = Seeds(experiment.seed)
    run_data = load_data(experiment, seeds, Console(), withholds=experiment.withholds)
    ledger = planned_ledger(experiment, run_data)
    training_loop = TrainingLoop(experiment, run_data, seeds, ledger)
    plan = plan_of(
        experiment,
        run_data,
        ledger,
        num_parameters=training_loop.runtime.num_parameters,
        activations=training_loop.runtime.activations,
    )
    parts: list[Any] = [render(plan)]
    if plan.statement is None:
        return parts
    return [
        *parts,
        "",
        *_tables(experiment, [ledger.plan], plan.num_parameters, run_data.data.overlap),
    ]


def _of_units(experiment: "Experiment", units: Sequence[int], parameters: int) -> list[Any]:
    """Returns the tables for training sets of given sizes."""
    if not experiment.states_privacy_loss:
        raise ConfigError(
            "--units: the run has no privacy guarantee, whatever the size of its training set; use "
            "trainer=dp privacy.noise_multiplier=1.1, or leave --units out"
        )
    plans = [experiment.trainer.plan_of(experiment.privacy, number) for number in units]
    return _tables(experiment, plans, parameters)


def _tables(
    experiment: "Experiment", plans: Sequence["PrivacyPlan"], parameters: int, overlap: Any = None
) -> list[Any]:
    """Returns the tables of a private run: ε of each plan, and the noise that each ε needs."""
    from ecgexp.console import Console
    from ecgexp.experiment.plan_variants import plan_variants
    from ecgexp.privacy.feasibility import feasibility_of
    from ecgexp.privacy.feasibility_tables import render, render_noise
    from ecgexp.privacy.noise_table import noise_table

    plan = plans[-1]
    with Console().progress_bar("planning") as progress_bar:
        found = feasibility_of(
            plan,
            plans,
            num_parameters=parameters,
            populations=_populations(plan),
            on_progress=progress_bar,
        )
        rows = noise_table(plan_variants(experiment, plan, overlap), progress_bar)
    return [render(found), "", render_noise(rows)]


def _populations(plan: "PrivacyPlan") -> Sequence[int]:
    """Returns the hypothetical populations: the one of the settings, or two for few patients."""
    from ecgexp.privacy.feasibility import POPULATIONS

    if plan.hypothetical_population is not None:
        return (plan.hypothetical_population,)
    if plan.unit != "patient":
        return ()
    return tuple(number for number in POPULATIONS if number > plan.num_units)


if __name__ == "__main__":
    sys.exit(main())
