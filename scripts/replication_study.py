"""Run the replicated study while its protocol errors are removed one after another.

    ECGEXP_DATA=… uv run python scripts/replication_study.py
    ECGEXP_DATA=… uv run python scripts/replication_study.py --protocols dp --seeds 0 1

Each stage is `ecgexp -m experiment=replication/… protocol_errors.…=false`, so a stage that has
finished is not run again. Further arguments are overrides for all stages. The script writes a
table, a CSV file and a figure. With `--no-runs` it only shows the runs of the store. The exit code
is 1 if a stage has no result. Published results of the study are in `results/`; add a run to them
with `scripts/results_page.py --add`.
"""

import argparse
import math
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from ecgexp.cli.streams import command
from ecgexp.formatting import epsilon_text
from ecgexp.replication.figure import study_figure
from ecgexp.replication.gather import RunIndex, StageResult, gather
from ecgexp.replication.reported_epsilon import Ladder, read_ladders
from ecgexp.replication.stages import PROTOCOLS, Stage, stages
from ecgexp.replication.tables import ladder_table, study_csv, study_tables
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.atomic import replacing
from ecgexp.tracking.mlflow.quiet import quieten

_LADDERS = Path(__file__).resolve().parents[1] / "results" / "replication_epsilon.jsonl"


@command
def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=list(PROTOCOLS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--store", metavar="URI", help="MLflow store of the runs")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("outputs/replication_study"),
        help="folder of the results (%(default)s)",
    )
    parser.add_argument("--no-runs", action="store_true", help="only show the runs of the store")
    options, overrides = parser.parse_known_args()
    if unknown := [word for word in overrides if word.startswith("-")]:
        parser.error(f"unknown option {unknown[0]}; overrides are words such as trainer.epochs=4")
    if options.store:
        overrides.append(f"tracking.uri={options.store}")
    console, planned = Console(), stages(options.protocols)
    if not options.no_runs:
        for number, stage in enumerate(planned, 1):
            console.print(
                f"[bold]stage {number} of {len(planned)}[/]: {stage.protocol}, {stage.label}"
            )
            _run(stage, options.seeds, overrides)
    try:
        quieten()
        found = gather(planned, options.seeds, RunIndex(options.store), more=overrides)
        ladders = read_ladders(_LADDERS)
    except (ConfigError, DataError) as error:
        print(f"replication_study: {error}", file=sys.stderr)
        return 2
    _write(found, ladders, options.output, console)
    return int(any(len(one.runs) < len(options.seeds) for one in found))


def _run(stage: Stage, seeds: list[int], overrides: list[str]) -> None:
    """Run a stage in its own process, so that an error does not affect other stages."""
    words = [*stage.overrides, f"seed={','.join(map(str, seeds))}", *overrides]
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ
    subprocess.run(
        [sys.executable, "-m", "ecgexp.cli.run", "-m", *words], env=environment, check=False
    )


def _write(found: list[StageResult], ladders: list[Ladder], folder: Path, console: Console) -> None:
    for table in study_tables(found):
        console.print(table)
    console.print(ladder_table(ladders))
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "replication_study.csv") as part:
        part.write_text(study_csv(found, ladders), encoding="utf-8")
    figure = study_figure(found, ladders)
    for form in ("svg", "png"):
        with replacing(folder / f"replication_study.{form}") as part:
            figure.savefig(part, format=form)
    worst = max(one.no_amplification for one in ladders if math.isfinite(one.no_amplification))
    console.print(
        f"ε of shuffled batches is up to {epsilon_text(worst)} where "
        f"{epsilon_text(ladders[0].as_printed, decimals=2)} was printed; the executed steps had no "
        "finite ε."
    )
    console.print(f"{folder}/replication_study.csv, .svg, .png", markup=False)


if __name__ == "__main__":
    sys.exit(main())
