"""Tabulate ε for small numbers of patients, and the noise multiplier for each target ε."""

import argparse
import re
import sys
import warnings
from collections.abc import Sequence

from ecgexp.cli.arguments import Parser, refuse, run_command, whole
from ecgexp.cli.streams import command
from ecgexp.console import Console
from ecgexp.privacy.feasibility import PATIENTS, POPULATIONS, Feasibility, feasibility_of
from ecgexp.privacy.feasibility_tables import render
from ecgexp.privacy.plan import PrivacyPlan
from ecgexp.privacy.settings import PrivacySpec
from ecgexp.settings.declaration import ConfigError, build

_EXAMPLE = """\
ecgexp-plan --patients 22 44 --rounds 50 --noise-multiplier 1.2
ecgexp-plan --sampling all --clip 0.3"""
_COHORT = 10  # patients per round, by default
_MOST_ROUNDS = 1_000_000
_count = whole(1, 10**12)


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script.

    Returns:
      0, or 2 for an error.
    """
    options = _parse(arguments)
    return run_command("ecgexp-plan", lambda: _plan_and_print(options))


def _plan_and_print(options: argparse.Namespace) -> int:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            found = find(options)
        except ConfigError as error:
            return refuse("ecgexp-plan", _as_options(str(error)))
    for message in dict.fromkeys(
        str(item.message) for item in caught if item.category is UserWarning
    ):
        print(f"note: {_as_options(message)}", file=sys.stderr)
    Console().print_result(render(found))
    return 0


def find(options: argparse.Namespace) -> Feasibility:
    """Computes the tables for the options of the command line.

    The largest number of patients is the one for which hypothetical populations and the noise for
    each target ε are computed.

    Args:
      options: the parsed command line.

    Returns:
      The tables, as values.

    Raises:
      ConfigError: options contradict each other or the number of patients; the message names
        settings (`privacy.…`), which `_as_options` translates.
    """
    spec = build(PrivacySpec, _privacy(options), path="privacy")
    plans = [_plan(spec, options, patients) for patients in sorted(set(options.patients))]
    populations = options.population
    if populations is None:
        populations = [number for number in POPULATIONS if number > plans[-1].num_units]
    with Console().progress_bar("planning") as progress_bar:
        return feasibility_of(
            plans[-1],
            plans,
            num_parameters=options.parameters,
            populations=sorted(set(populations)),
            on_progress=progress_bar,
        )


def _privacy(options: argparse.Namespace) -> dict:
    fixed = options.sampling == "fixed"
    return {
        "noise_multiplier": options.noise_multiplier,
        "l2_norm_clip": options.clip,
        "delta": options.delta,
        "unit": "patient",
        "sampling": "fixed" if fixed else "poisson",
        "accountant": options.accountant or ("rdp" if fixed else "pld"),
    }


def _plan(spec: PrivacySpec, options: argparse.Namespace, patients: int) -> PrivacyPlan:
    if options.sampling == "all":
        cohort = patients
    elif options.cohort_fraction is not None:
        cohort = max(1, round(options.cohort_fraction * patients))
    else:
        cohort = options.clients_per_round or _COHORT
    return spec.plan(
        num_units=patients,
        expected_batch_size=cohort,
        iterations=options.rounds,
        batch_setting="--clients-per-round",
    )


def _as_options(message: str) -> str:
    """Replaces the settings in a message by the options of this command."""
    message = message.replace("privacy.l2_norm_clip", "--clip")
    message = message.replace(", or privacy.hypothetical_population=null", "")
    message = message.replace("privacy.hypothetical_population", "--population")
    return re.sub(r"privacy\.(\w+)", lambda found: "--" + found[1].replace("_", "-"), message)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-plan", description=__doc__, example=_EXAMPLE)
    add = parser.add_argument
    add(
        "--noise-multiplier",
        type=float,
        default=1.0,
        help="standard deviation of the noise divided by the clipping norm (%(default)s)",
        metavar="Z",
    )
    add(
        "--rounds",
        type=whole(1, _MOST_ROUNDS),
        default=20,
        help="federated rounds (%(default)s)",
        metavar="T",
    )
    add(
        "--patients",
        type=_count,
        nargs="+",
        default=list(PATIENTS),
        help="numbers of training patients (22 44 47: the records of DS1; those of DS1 and DS2, of "
        "43 patients; all patients of MIT-BIH; without validation patients)",
        metavar="N",
    )
    cohort = parser.add_mutually_exclusive_group()
    cohort.add_argument(
        "--clients-per-round", type=_count, help=f"patients in a round ({_COHORT})", metavar="N"
    )
    cohort.add_argument(
        "--cohort-fraction",
        type=_fraction,
        help="expected fraction of the patients in a round",
        metavar="Q",
    )
    add(
        "--clip",
        type=float,
        default=0.5,
        help="clipping norm: largest L2 norm of a patient's update (%(default)s)",
        metavar="C",
    )
    add(
        "--delta",
        type=float,
        help="δ (the largest power of ten that is at most 0.01 / patients)",
        metavar="DELTA",
    )
    add(
        "--population",
        type=_count,
        nargs="+",
        help="sizes of hypothetical populations (1000 10000); their ε is not a guarantee",
        metavar="N",
    )
    add(
        "--parameters",
        type=whole(1, 10**12),
        default=20_000,
        help="number of weights of the model (%(default)s)",
        metavar="D",
    )
    add(
        "--sampling",
        choices=("poisson", "fixed", "all"),
        default="poisson",
        help="Poisson sampling, cohorts of fixed size, or all patients in each round (%(default)s)",
    )
    add(
        "--accountant", choices=("pld", "rdp"), help="accountant of ε (pld; rdp with fixed cohorts)"
    )
    options = parser.parse_args(arguments)
    if options.sampling == "all" and (options.clients_per_round or options.cohort_fraction):
        parser.error(
            "--sampling=all: every patient is in every round; leave --clients-per-round and "
            "--cohort-fraction out"
        )
    return options


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a fraction above 0 and at most 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
