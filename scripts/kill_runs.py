"""Kill runs at chosen events, resume them, and compare the results with uninterrupted runs.

    uv run python scripts/kill_runs.py [--kills 60] [--seed 1] [--scenarios dp private_sweep …]

Scenarios: each trainer with and without privacy, a private sweep, a worker of the `processes`
launcher, and `early`: the first half second of a command. Stages: startup, store, preprocessing,
training, checkpoint, artifacts, delivery, end. A run is killed right before an event of a stage, or
some milliseconds after it; most kills are SIGKILL, some SIGTERM and Ctrl-C. A resumed run may be
killed again.

Checked at the end: weights, scores and ε are equal bit for bit (with fresh noise: equal steps, and
an ε that includes discarded steps); no run is RUNNING in MLflow, and every entry is there once; the
files are those of an uninterrupted run, without temporary files in the run's folder, the cache, the
store's folder and the temporary folder; and no file contains a planted secret. Prints a line per
sequence and a table; the exit code is 1 after any difference. The same command with the same --out
continues a campaign; folders with differences are not deleted.
"""

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from killing.campaign import EARLY, Campaign, Sequence
from killing.processes import STAGES, preload
from killing.scenarios import SCENARIOS
from rich.console import Console
from rich.table import Table

from ecgexp.cli.streams import command


@command
def main() -> int:
    options = _parse()
    for name in [
        name for name in os.environ if name.startswith(("MLFLOW_", "ECGEXP_", "_ECGEXP_"))
    ]:
        del os.environ[name]  # runs must use the store, cache and key in the compared folders
    out = Path(options.out or tempfile.mkdtemp(prefix="kills-")).absolute()
    out.mkdir(parents=True, exist_ok=True)
    report = out / "report.jsonl"
    lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    done = {found["number"]: Sequence(**found) for found in map(json.loads, lines)}
    preload(federated=any("federated" in name for name in options.scenarios))
    campaign, console = Campaign(out, options.seed, options.stages), Console(width=160)
    sequences: list[Sequence] = []
    number = 0
    while sum(len(one.kills) for one in sequences) < options.kills:
        scenario = options.scenarios[number % len(options.scenarios)]
        known = done.get(number)
        sequence = known or campaign.sequence(number, scenario)
        if known is None:
            with report.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(sequence)) + "\n")
        console.print(sequence.line(), markup=False, highlight=False)
        sequences.append(sequence)
        number += 1
    console.print(_table(sequences))
    return int(any(one.faults for one in sequences))


def _table(sequences: list[Sequence]) -> Table:
    table = Table(
        "scenario",
        "runs",
        "kills",
        "killed in",
        "equal",
        title="comparison with uninterrupted runs",
    )
    for name in dict.fromkeys(one.scenario for one in sequences):
        own = [one for one in sequences if one.scenario == name]
        stages = Counter(
            kill["stage"] if name != EARLY else "first half second"
            for one in own
            for kill in one.kills
        )
        where = ", ".join(f"{stage} {count}" for stage, count in stages.items())
        equal = sum(not one.faults for one in own)
        table.add_row(
            name, str(len(own)), str(sum(stages.values())), where, f"{equal} of {len(own)}"
        )
    kills = [kill for one in sequences for kill in one.kills]
    signals = ", ".join(
        f"{count} {name}" for name, count in Counter(kill["signal"] for kill in kills).items()
    )
    equal = sum(not one.faults for one in sequences)
    table.add_section()
    table.add_row(
        "all", str(len(sequences)), str(len(kills)), signals, f"{equal} of {len(sequences)}"
    )
    return table


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, names = parser.add_argument, [*SCENARIOS, EARLY]
    add("--kills", type=int, default=60, help="total number of kills (%(default)s)")
    add("--seed", type=int, default=1, help="seed of the kills (%(default)s)")
    add(
        "--scenarios",
        nargs="+",
        choices=names,
        default=names,
        metavar="NAME",
        help=f"scenarios, in turn: {', '.join(names)}",
    )
    add(
        "--stages",
        nargs="+",
        choices=STAGES,
        default=list(STAGES),
        metavar="STAGE",
        help=f"stages with kills: {', '.join(STAGES)}",
    )
    add(
        "--out",
        metavar="FOLDER",
        help="folder of runs and report.jsonl; a new temporary folder by default",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
