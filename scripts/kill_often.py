"""Kills a run at random instants, takes it up again each time, and compares the end with a run that nothing happened to.

    uv run python scripts/kill_often.py [--kills 20] [--trainers centralized dp federated dp_federated] [--seed 0]

After every `kill -9`: no child of the run is alive, nothing under a final name is half written, and the newest checkpoint is
whole. At the end: the same weights, scores and ε, bit for bit, every point of every curve once, and one run in MLflow. (Noise
comes from `privacy.noise_seed` here, or it could not be the same.) Prints a line a trainer; the exit code is 1 if one differs.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from ecgexp._archive import read_archive
from ecgexp._streams import command
from ecgexp.checkpoints import Checkpoints

COMMAND = str(Path(sys.executable).parent / "ecgexp")
SMALL = ("model=cnn1d_small", "dataset.num_patients=6", "num_resamples=0", "device.deterministic=true")
TRAINERS = {
    "centralized": ("trainer.epochs=60", "augmentation=signal"),
    "dp": ("trainer=dp", "trainer.epochs=60", "privacy.noise_multiplier=1.5", "privacy.noise_seed=7"),
    "federated": ("trainer=federated", "trainer.num_rounds=60", "selection.keep=last"),
    "dp_federated": (
        "trainer=federated", "trainer.num_rounds=60", "privacy=patient", "privacy.noise_multiplier=1.0",
        "privacy.noise_seed=7", "selection.keep=last",
    ),
}  # fmt: skip
# Written in place, a line at a time: the last line of these may be cut, and is then no line.
GROWING = ("metrics.jsonl", "privacy_journal.jsonl", "ecgexp.log")


@command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--trainers", nargs="+", choices=TRAINERS, default=list(TRAINERS))
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    parser.add_argument("overrides", nargs="*", help="further overrides of every run")
    options = parser.parse_args()
    table = Table("trainer", "kills", "before the first checkpoint", "newest checkpoint after each", "result")
    console, failed = Console(), False
    for trainer in options.trainers:
        row = _kill_often(trainer, options)
        failed |= row[-1] != "the same bits"
        table.add_row(*row)
        console.print(*row, sep=" · ")
    console.print(table)
    sys.exit(failed)


def _kill_often(trainer: str, options: argparse.Namespace) -> tuple[str, ...]:
    words = (*SMALL, *TRAINERS[trainer], *options.overrides)
    instants = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix=f"kills-{trainer}-") as name:
        cwd = Path(name)
        start, end = _whole(words, cwd)
        latest = start + (end - start) * 2 / options.kills  # on average each gets on by less than its share
        seen, faults = [], []  # the newest checkpoint after each kill; what differed at an end
        while len(seen) < options.kills:
            step = _killed_after(instants.uniform(0, latest), words, cwd)
            if step is None:  # it ended before; the next instants are another run's
                faults += _differences(cwd / "whole", cwd / "run")
                shutil.rmtree(cwd / "run")
            else:
                seen.append(step)
        _finish(_goes_on(words, cwd), cwd)
        faults += _differences(cwd / "whole", cwd / "run")
        each = " ".join(map(str, seen))
        return trainer, str(len(seen)), str(seen.count(0)), each, "; ".join(faults) or "the same bits"


def _goes_on(words: tuple[str, ...], cwd: Path) -> list[str]:
    """The command that begins the run, or goes on with it."""
    return [COMMAND, "resume=run"] if (cwd / "run" / "run.json").is_file() else [COMMAND, *words, "hydra.run.dir=run"]


def _whole(words: tuple[str, ...], cwd: Path) -> tuple[float, float]:
    """Seconds until the first checkpoint, and until the end, of a run that nothing happens to."""
    began, first = time.monotonic(), None
    with (cwd / "log").open("a", encoding="utf-8") as log:
        command = [COMMAND, *words, "hydra.run.dir=whole", "tracking=none"]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=cwd)
        while process.poll() is None:
            if first is None and list(cwd.glob("whole/checkpoints/step-*")):
                first = time.monotonic() - began
            time.sleep(0.05)
    if process.returncode or first is None:
        raise SystemExit(
            f"{' '.join(command)} ended with {process.returncode}:\n{(cwd / 'log').read_text(encoding='utf-8')[-3000:]}"
        )
    return first, time.monotonic() - began


def _killed_after(seconds: float, words: tuple[str, ...], cwd: Path) -> int | None:
    """The step of the newest checkpoint after a kill; None: the run ended before."""
    command = _goes_on(words, cwd)
    with (cwd / "log").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=cwd, start_new_session=True)
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGKILL)
            process.wait()
            _expect_dead(children)
            return _check_files(cwd / "run")
    if process.returncode:
        raise SystemExit(
            f"{' '.join(command)} ended with {process.returncode}:\n{(cwd / 'log').read_text(encoding='utf-8')[-3000:]}"
        )
    return None


def _expect_dead(children: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(children, timeout=10)
    if alive:
        raise SystemExit(f"children outlive a killed run: {alive}")


def _check_files(run_dir: Path) -> int:
    """The step of the newest checkpoint, 0 if there is none, after a look at every file that has its final name."""
    for path in run_dir.rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))
    for path in run_dir.rglob("*.jsonl"):
        if path.name not in GROWING:
            raise SystemExit(f"{path} is not known to grow")
        for line in path.read_text(encoding="utf-8").splitlines()[:-1]:
            json.loads(line)
    newest = Checkpoints(run_dir / "checkpoints").newest()
    return 0 if newest is None else newest.step


def _finish(command: list[str], cwd: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")


def _differences(whole: Path, run: Path) -> list[str]:
    then, now = result(whole), result(run)
    faults = [f"other {key}" for key in ("metrics", "selection", "data", "privacy") if then[key] != now[key]]
    if weights(whole) != weights(run):
        faults.append("other weights")
    if points(whole) != points(run):
        faults.append("other points")
    from ecgexp.tracking.reading import search_runs

    known = {one.run_id: one.status for one in search_runs(uri=f"sqlite:///{run.parent}/mlruns/mlflow.db")}
    if known.get(now["run_id"]) != "FINISHED":
        faults.append(f"{known.get(now['run_id'])} in MLflow")
    return faults


def result(folder: Path) -> dict[str, Any]:
    """What a run's `result.json` says, but for the time and memory that it took."""
    values = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    values["metrics"] = {name: value for name, value in values["metrics"].items() if not name.startswith("resources/")}
    return values


def weights(folder: Path) -> dict[str, bytes]:
    """A run's final weights, bit for bit."""
    with (folder / "model" / "weights.safetensors").open("rb") as file:
        return {name: array.tobytes() for name, array in read_archive(file)[0].items()}


def points(folder: Path) -> list[str]:
    """Every point of every curve of a run, in an order of its own."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return sorted(
        f"{name} {line['step']} {value!r}"
        for line in lines
        for name, value in line["metrics"].items()
        if "resources" not in name
    )


if __name__ == "__main__":
    sys.exit(main())
