"""Measure whether memory grows in long runs, over 200 epochs or rounds.

    uv run python scripts/benchmarks/memory.py [--steps 200] [--trainers centralized dp federated]

Each measurement is one run of the command on synthetic beats; further arguments are overrides.
Memory is the resident size of the process and its children.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from ecgexp.cli.streams import command

COMMAND = str(Path(sys.executable).parent / "ecgexp")
SMALL = (
    "model=cnn1d_small",
    "dataset.num_patients=6",
    "num_resamples=0",
    "selection.weights=last",
    "selection.patience=null",
)
TRAINERS = {
    "centralized": ("trainer.epochs={}",),
    "dp": ("trainer=dp", "trainer.epochs={}", "privacy.noise_multiplier=1.5"),
    "federated": ("trainer=federated", "trainer.num_rounds={}"),
}
SHARES = (0.05, 0.25, 0.5, 1.0)


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=200, help="epochs or rounds")
    parser.add_argument("--trainers", nargs="+", choices=TRAINERS, default=list(TRAINERS))
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    marks = [max(1, round(share * options.steps)) for share in SHARES]
    table = Table(
        "trainer",
        *(f"MB after {mark}" for mark in marks),
        f"growth from {marks[0]} to {marks[-1]}",
        "peak",
    )
    for trainer in options.trainers:
        seen, peak = _watch(trainer, marks, options)
        table.add_row(
            trainer,
            *(f"{seen[mark]:.0f}" for mark in marks),
            f"{seen[marks[-1]] - seen[marks[0]]:+.0f}",
            f"{peak:.0f}",
        )
        Console().print(table)


def _watch(
    trainer: str, marks: list[int], options: argparse.Namespace
) -> tuple[dict[int, float], float]:
    """Returns the megabytes at each of the marks, and the maximum."""
    words = [word.format(options.steps) for word in TRAINERS[trainer]]
    with tempfile.TemporaryDirectory(prefix="memory-") as name:
        cwd = Path(name)
        with (cwd / "log").open("w", encoding="utf-8") as log:
            command = [COMMAND, *SMALL, *words, *options.overrides, "hydra.run.dir=run"]
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=cwd)
            seen, peak = {}, 0.0
            while process.poll() is None:
                step, now = _steps_done(cwd / "run" / "metrics.jsonl"), _megabytes(process.pid)
                peak = max(peak, now)
                seen |= {mark: now for mark in marks if mark <= step and mark not in seen and now}
                time.sleep(0.1)
        if process.returncode or set(seen) != set(marks):
            raise SystemExit(
                f"{' '.join(command)} ended with {process.returncode}:\n"
                + (cwd / "log").read_text(encoding="utf-8")[-2000:]
            )
    return seen, peak


def _steps_done(file: Path) -> int:
    try:
        return file.read_text(encoding="utf-8").count('"curve/train/loss"')
    except FileNotFoundError:
        return 0


def _megabytes(pid: int) -> float:
    try:
        process = psutil.Process(pid)
        return (
            sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
            / 1e6
        )
    except psutil.NoSuchProcess:
        return 0.0


if __name__ == "__main__":
    sys.exit(main())
