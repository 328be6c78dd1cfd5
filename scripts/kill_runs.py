"""Kills runs at chosen events, takes them up again, and compares the end with a run that nothing happened to.

    uv run python scripts/kill_runs.py [--kills 60] [--seed 1] [--scenarios dp private_sweep …] [--out FOLDER]

Scenarios: every trainer with and without privacy, a private sweep, a worker of the `processes` launcher, and `early`: the first
half second of a command. Moments: of startup, of the store, of the preparation of beats, of training, of a checkpoint, of the
artifacts, of the delivery and of the end; the run is killed right before an event there, or some milliseconds after it. Most are
SIGKILL, some SIGTERM and Ctrl-C. A run that goes on may be killed again.

At the end: the same weights, scores and ε, bit for bit (where noise is fresh: the same steps, and an ε that counts what was
lost); nothing in MLflow says RUNNING, and all is there once; the same files as without a kill, so no litter in the run's folder,
the cache, the store's folder and the temporary folder; a planted secret in none. Prints a line a sequence and a table; the exit
code is 1 if anything differs. The same command with the same --out goes on where it was stopped; folders with faults stay there.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
from killing.checks import damaged, differences, listing, litter, secrets_in, store_faults
from killing.processes import STAGES, Kill, preload, run
from killing.scenarios import SCENARIOS, SECRET, Scenario
from rich.console import Console
from rich.table import Table

from ecgexp.cli.streams import command

COMMAND = str(Path(sys.executable).parent / "ecgexp")
EARLY = "early"
_EARLY_S = 0.5
_COLD = ("startup", "store", "preparation")  # stages for which store and cache are made anew
_TRIES = 3
_LONGEST_S = 900
# A worker is killed when such a file appears.
_SIGNS = (
    "outputs/sweeps/*/attempts/*.json", "outputs/invocation/[01]/run.json", "outputs/invocation/[01]/checkpoints/step-*",
    "outputs/invocation/[01]/result.json",
)  # fmt: skip


@dataclass(kw_only=True)
class Sequence:
    """One run, its kills and what was found at its end.

    Attributes:
      number: of the sequence.
      scenario: which.
      kills: stage, event and signal of each.
      faults: what was not as it should be.
      seconds: all of it took.
    """

    number: int
    scenario: str
    kills: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def line(self) -> str:
        """What happened and what was found, on one line."""
        kills = (
            " + ".join(f"{kill['signal']} in {kill['stage']}" for kill in self.kills)
            or "no kill: it ended before"
        )
        return f"{self.number:3d} {self.scenario}: {kills} · {'; '.join(self.faults) or 'equal'} · {self.seconds:.0f} s"


@command
def main() -> int:
    options = _parse()
    for name in [
        name for name in os.environ if name.startswith(("MLFLOW_", "ECGEXP_", "_ECGEXP_"))
    ]:
        del os.environ[
            name
        ]  # another store, cache or key than those in the folders that are compared
    out = Path(options.out or tempfile.mkdtemp(prefix="kills-")).absolute()
    out.mkdir(parents=True, exist_ok=True)
    report = out / "report.jsonl"
    lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    done = {found["number"]: Sequence(**found) for found in map(json.loads, lines)}
    preload()
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


class Campaign:
    """Makes sequences; the runs that nothing happens to are made when they are first needed.

    Args:
      out: where everything is.
      seed: of the moments.
      stages: in which runs are killed.
    """

    def __init__(self, out: Path, seed: int, stages: list[str]):
        self._out, self._seed, self._stages = out, seed, stages

    def sequence(self, number: int, name: str) -> Sequence:
        """One sequence; its folder stays if anything was wrong."""
        began, drawn = time.monotonic(), random.Random(f"{self._seed} {number}")
        home = self._out / f"{number:03d}-{name}"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        found = Sequence(number=number, scenario=name)
        if name == EARLY:
            _kill_early(home, found, drawn)
        elif SCENARIOS[name].in_processes:
            whole, _ = self._whole(name)
            self._prepare(home, whole, "training")
            _kill_worker(home, SCENARIOS[name], found, drawn)
            self._check(home, whole, SCENARIOS[name], found)
        else:
            self._kill_and_resume(home, name, found, drawn)
        found.seconds = round(time.monotonic() - began, 1)
        if not found.faults:
            shutil.rmtree(home)
        return found

    def _kill_and_resume(
        self, home: Path, name: str, found: Sequence, drawn: random.Random
    ) -> None:
        scenario, (whole, events) = SCENARIOS[name], self._whole(name)
        stages = [stage for stage in self._stages if events.get(stage)]
        first = stages[found.number % len(stages)]
        self._prepare(home, whole, first)
        for stage in (first, *drawn.choices(stages, k=3))[: drawn.choice((2, 3, 4))]:
            kill = _draw(stage, events[stage], drawn)
            ended = run(_goes_on(scenario, home), home, kill=kill)
            if ended.code == 0 or (ended.code == 2 and _has_finished(home)):
                break
            if ended.code not in (
                -kill.with_signal,
                -signal.SIGALRM,
                128 + kill.with_signal,
                1 if scenario.is_sweep else -1,
            ):
                found.faults.append(f"exit code {ended.code} after {asdict(kill)}")
            found.kills.append({**asdict(kill), "signal": signal.Signals(kill.with_signal).name})
            found.faults += damaged(home)
        for _ in range(_TRIES):
            ended = run(_goes_on(scenario, home), home)
            if ended.code == 0 or (ended.code == 2 and _has_finished(home)):
                break
        else:
            found.faults.append(f"could not go on: exit code {ended.code}")
        self._check(home, whole, scenario, found)

    def _check(self, home: Path, whole: Path, scenario: Scenario, found: Sequence) -> None:
        try:
            runs, expected = _runs(home, scenario), _runs(whole, scenario)
            if runs.keys() != expected.keys():
                found.faults.append(f"runs {sorted(runs)} instead of {sorted(expected)}")
            for name, folder in runs.items():
                found.faults += differences(
                    expected[name], folder, has_fresh_noise=scenario.has_fresh_noise
                )
            parents = list(home.glob("outputs/sweeps/*/parent"))
            found.faults += store_faults(home / "mlruns" / "mlflow.db", [*runs.values(), *parents])
            if not scenario.is_sweep:
                more, less = listing(home) - listing(whole), listing(whole) - listing(home)
                found.faults += [f"more files: {sorted(more)[:5]}"] if more else []
                found.faults += [f"fewer files: {sorted(less)[:5]}"] if less else []
        except (OSError, ValueError, LookupError) as error:
            found.faults.append(f"{type(error).__name__}: {error}")
        found.faults += [f"litter: {left[:5]}" for left in [litter(home)] if left]
        found.faults += [f"the secret is in {place}" for place in secrets_in(home, SECRET)]

    def _whole(self, name: str) -> tuple[Path, dict[str, int]]:
        """The folder of the run that nothing happens to, and how many events each of its stages has."""
        home, told = self._out / f"whole-{name}", self._out / f"whole-{name}.json"
        if not told.exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            scenario = SCENARIOS[name]
            if scenario.in_processes:
                code, events = _typed(scenario.words, home), {}
            else:
                ended = run(_goes_on(scenario, home), home)
                code, events = ended.code, ended.events
            if code:
                raise SystemExit(
                    f"{name} ended with {code}:\n{(home / 'log').read_text(encoding='utf-8')[-3000:]}"
                )
            told.write_text(json.dumps(events), encoding="utf-8")
        return home, json.loads(told.read_text(encoding="utf-8"))

    def _prepare(self, home: Path, whole: Path, stage: str) -> None:
        """Gives a run the cache and an empty store, which it would make by itself, unless it is killed while it does."""
        if stage in _COLD:
            return
        shutil.copytree(whole / "cache", home / "cache")
        (home / "mlruns").mkdir()
        shutil.copy(self._empty_store(), home / "mlruns" / "mlflow.db")
        (home / "mlruns" / "mlflow.db.lock").touch()

    def _empty_store(self) -> Path:
        folder = self._out / "empty"
        if not (folder / "mlflow.db").exists():
            folder.mkdir(exist_ok=True)
            code = "import sys, pathlib, ecgexp.tracking.mlflow.store_tables as s; s.create_tables(pathlib.Path(sys.argv[1]))"
            subprocess.run([sys.executable, "-c", code, str(folder / "mlflow.db")], check=True)
        return folder / "mlflow.db"


def _draw(stage: str, events: int, drawn: random.Random) -> Kill:
    # A run that is given its store and cache has fewer events in all stages but the last than the one that made them.
    number = drawn.randint(1, events if stage == "end" else max(1, events * 6 // 10))
    delay = drawn.choice((0.0, 0.0, 0.0, drawn.uniform(0, 5), drawn.uniform(0, 50)))
    with_signal = drawn.choice((*[signal.SIGKILL] * 8, signal.SIGTERM, signal.SIGINT))
    if with_signal != signal.SIGKILL:
        delay = 0.0
    return Kill(stage=stage, number=number, delay_ms=delay, with_signal=with_signal)


def _goes_on(scenario: Scenario, home: Path) -> list[str]:
    """The command that begins the run or sweep, or goes on with it."""
    if scenario.is_sweep:
        return list(scenario.words)
    if (home / "run" / "run.json").is_file():
        return ["resume=run", "hydra.run.dir=command"]  # a folder that goes again
    return [*scenario.words, "hydra.run.dir=run"]


def _has_finished(home: Path) -> bool:
    try:
        return (
            json.loads((home / "run" / "run.json").read_text(encoding="utf-8"))["status"]
            == "FINISHED"
        )
    except (OSError, ValueError, LookupError):
        return False


def _runs(home: Path, scenario: Scenario) -> dict[str, Path]:
    """The finished runs: by the name of the job, in a sweep."""
    if not scenario.is_sweep:
        return {"run": home / "run"}
    tried = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in home.glob("outputs/sweeps/*/attempts/*.json")
    ]
    return {one["name"]: Path(one["run_dir"]) for one in tried if one["status"] == "FINISHED"}


def _start(words: Iterator[str] | tuple[str, ...], home: Path) -> subprocess.Popen:
    (home / "tmp").mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(home / "tmp")}
    with (home / "log").open("a", encoding="utf-8") as log:
        return subprocess.Popen(
            [COMMAND, *words], stdout=log, stderr=log, cwd=home, env=environment
        )


def _typed(words: tuple[str, ...], home: Path) -> int:
    return _start(words, home).wait(timeout=_LONGEST_S)


def _kill_worker(home: Path, scenario: Scenario, found: Sequence, drawn: random.Random) -> None:
    """Kills one of the launcher's processes when a file appears, and types the command again."""
    sign = drawn.choice(_SIGNS)
    process = _start(scenario.words, home)
    try:
        while process.poll() is None and not list(home.glob(sign)):
            time.sleep(0.005)
        children = (
            psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        )
        workers = [child for child in children if "popen_loky" in " ".join(child.cmdline())]
        if workers:
            drawn.choice(workers).send_signal(signal.SIGKILL)
            found.kills.append(
                {"stage": f"a worker, at {sign.rpartition('/')[2]}", "signal": "SIGKILL"}
            )
        code = process.wait(timeout=_LONGEST_S)
    finally:
        process.kill()
    if workers and code not in (0, 1):
        found.faults.append(f"exit code {code} after a worker was killed")
    if _typed(scenario.words, home):
        found.faults.append("could not go on")


def _kill_early(home: Path, found: Sequence, drawn: random.Random) -> None:
    """Kills a command in its first half second; whatever it wrote has no secret, and the next command removes it."""
    words = (
        *SCENARIOS["centralized"].words,
        "hydra.run.dir=run",
        f"tracking.uri=http://me:{SECRET}@127.0.0.1:9",
    )
    seconds = drawn.uniform(0, _EARLY_S)
    process = _start(words, home)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        found.kills.append({"stage": f"{1000 * seconds:.0f} ms", "signal": "SIGKILL"})
    found.faults += [f"the secret is in {place}" for place in secrets_in(home, SECRET)]
    run([*SCENARIOS["centralized"].words, "--cfg", "job"], home)
    found.faults += [f"litter: {left}" for left in [litter(home)] if left]


def _table(sequences: list[Sequence]) -> Table:
    table = Table(
        "scenario", "runs", "kills", "killed in", "equal", title="at the end of every run"
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
    add("--kills", type=int, default=60, help="how many in all (%(default)s)")
    add("--seed", type=int, default=1, help="of the moments (%(default)s)")
    add(
        "--scenarios",
        nargs="+",
        choices=names,
        default=names,
        metavar="NAME",
        help=f"which, in turn: {', '.join(names)}",
    )
    add(
        "--stages",
        nargs="+",
        choices=STAGES,
        default=list(STAGES),
        metavar="STAGE",
        help=f"when: {', '.join(STAGES)}",
    )
    add(
        "--out",
        metavar="FOLDER",
        help="where runs and report.jsonl are; a new temporary folder by default",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
