"""Measure the overhead of a sweep: the pause between jobs, and launchers against serial jobs.

    uv run python scripts/benchmarks/sweep.py [--jobs 4] [--epochs 5] [overrides …]

The pause is the time from the end of a job (its result is written and its run closed) to the first
training step of the next one in the same process. It includes beats from the cache, building the
network, and the run in MLflow. The launchers run the same jobs, each sweep in its own folder with
the same cache. Use overrides for other runs, e.g. `trainer=dp privacy=eps3`.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ecgexp.cli.streams import command

COMMAND = str(Path(sys.executable).parent / "ecgexp")
LAUNCHERS = {
    "one by one": (),
    "hydra/launcher=processes, 1": ("hydra/launcher=processes", "hydra.launcher.n_jobs=1"),
    "hydra/launcher=processes, 2": ("hydra/launcher=processes", "hydra.launcher.n_jobs=2"),
}

# Runs the command with two time measurements.
WITH_CLOCKS = """
import sys, time
from ecgexp.experiment import run as experiment
from ecgexp.experiment import training_loop

ended = []
run = experiment.run

def timed_run(*args, **kwargs):
    result = run(*args, **kwargs)
    ended.append(time.monotonic())
    return result

class FirstStep:
    def __init__(self, on_progress): self._on_progress, self._has_begun = on_progress, False
    def __call__(self, **progress):
        if not self._has_begun and ended:
            print(f"pause {time.monotonic() - ended[-1]:.3f}", flush=True)
        self._has_begun = True
        self._on_progress(**progress)

bar = training_loop.StepBar
training_loop.StepBar = lambda *args, **named: FirstStep(bar(*args, **named))
experiment.run = timed_run
sys.argv = ["ecgexp", *sys.argv[1:]]
from ecgexp.cli.run import main
main()
"""


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=5)
    options, overrides = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ECGEXP_CACHE"] = str(Path(folder) / "cache")
        words = [
            "-m",
            f"trainer.epochs={options.epochs}",
            f"seed=range({options.jobs})",
            *overrides,
        ]
        pauses = measure_pauses(Path(folder) / "pauses", words)
        seconds = {
            name: measure(Path(folder) / str(at), [*words, *extra])
            for at, (name, extra) in enumerate(LAUNCHERS.items())
        }
    first = next(iter(seconds.values()))
    table = Table(title=f"{options.jobs} jobs, {os.cpu_count()} cores")
    for column in ("", "s", "of one by one"):
        table.add_column(column, justify="right" if column else "left")
    for name, value in seconds.items():
        table.add_row(name, f"{value:.1f}", f"{value / first:.2f}")
    Console().print(table)
    Console().print(
        f"pause between jobs: median {statistics.median(pauses):.2f} s, longest {max(pauses):.2f} s"
    )


def measure_pauses(folder: Path, words: list[str]) -> list[float]:
    folder.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", WITH_CLOCKS, *words],
        capture_output=True,
        text=True,
        cwd=folder,
        check=True,
    )
    return [
        float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("pause ")
    ]


def measure(folder: Path, words: list[str]) -> float:
    folder.mkdir(parents=True)
    started = time.monotonic()
    subprocess.run([COMMAND, *words], capture_output=True, cwd=folder, check=True)
    return time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
