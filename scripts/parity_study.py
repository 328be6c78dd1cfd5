"""Turns the predecessor's faults off one after the other, and says what each was worth: a table, `parity_study.csv` and a figure.

    ECGEXP_DATA=… uv run python scripts/parity_study.py [--protocols central dp federated] [--seeds 0 1 2] [overrides …]

Every stage is an ordinary `ecgexp -m experiment=replication/… protocol_errors.…=false`, so what has run is not run again:
typed again after an interruption, it goes on. `--no-runs` only draws what is in the store. The exit code is 1 if a stage has
no result.
"""

import argparse
import math
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from ecgexp.analysis.results_page.asked import RunIndex
from ecgexp.cli.streams import command
from ecgexp.formatting import epsilon_text
from ecgexp.replication.figure import study_figure
from ecgexp.replication.gather import Measured, gather
from ecgexp.replication.reported_epsilon import ladders
from ecgexp.replication.stages import PROTOCOLS, Stage, stages
from ecgexp.replication.tables import ladder_table, study_csv, study_tables
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.atomic import replacing
from ecgexp.tracking.mlflow.quiet import quieten


@command
def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=list(PROTOCOLS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--uri", help="the MLflow store (as the runs would have it)")
    parser.add_argument(
        "--to",
        type=Path,
        default=Path("outputs/parity_study"),
        help="folder of the results (%(default)s)",
    )
    parser.add_argument("--no-runs", action="store_true", help="only tell what is in the store")
    options, overrides = parser.parse_known_args()
    if strange := [word for word in overrides if word.startswith("-")]:
        parser.error(f"unknown option {strange[0]}; overrides are words such as trainer.epochs=4")
    if options.uri:
        overrides.append(f"tracking.uri={options.uri}")
    console, planned = Console(), stages(options.protocols)
    if not options.no_runs:
        for number, stage in enumerate(planned, 1):
            console.print(
                f"[bold]stage {number} of {len(planned)}[/]: {stage.protocol}, {stage.label}"
            )
            _run(stage, options.seeds, overrides)
    try:
        quieten()
        found = gather(planned, options.seeds, RunIndex(options.uri), more=overrides)
    except (ConfigError, DataError) as error:
        print(f"parity_study: {error}", file=sys.stderr)
        return 2
    _tell(found, options.to, console)
    return int(any(len(one.runs) < len(options.seeds) for one in found))


def _run(stage: Stage, seeds: list[int], overrides: list[str]) -> None:
    """In a process of its own, which gives its memory back; a stage that fails leaves the others alone."""
    words = [*stage.overrides, f"seed={','.join(map(str, seeds))}", *overrides]
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ
    subprocess.run(
        [sys.executable, "-m", "ecgexp.cli.run", "-m", *words], env=environment, check=False
    )


def _tell(found: list[Measured], folder: Path, console: Console) -> None:
    with_epsilon = ladders()
    for table in study_tables(found):
        console.print(table)
    console.print(ladder_table(with_epsilon))
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "parity_study.csv") as part:
        part.write_text(study_csv(found, with_epsilon), encoding="utf-8")
    figure = study_figure(found, with_epsilon)
    for form in ("svg", "png"):
        with replacing(folder / f"parity_study.{form}") as part:
            figure.savefig(part, format=form)
    worst = max(one.no_amplification for one in with_epsilon if math.isfinite(one.no_amplification))
    console.print(
        f"ε of shuffled batches is up to {epsilon_text(worst)} where "
        f"{epsilon_text(with_epsilon[0].as_printed, decimals=2)} was printed; what ran had none."
    )
    console.print(f"{folder}/parity_study.csv, .svg, .png", markup=False)


if __name__ == "__main__":
    sys.exit(main())
