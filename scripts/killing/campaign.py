"""Sequences of kills: a run is killed, resumed and compared with an uninterrupted one."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
from killing.checks import damaged, differences, listing, litter, secrets_in, store_faults
from killing.processes import Kill, run
from killing.scenarios import SCENARIOS, SECRET, Scenario

COMMAND = str(Path(sys.executable).parent / "ecgexp")
EARLY = "early"
_EARLY_S = 0.5
_COLD = ("startup", "store", "preprocessing")  # stages for which store and cache are made anew
_TRIES = 3
_LONGEST_S = 900
# A worker is killed when a file of one of these patterns appears.
_SIGNS = (
    "outputs/sweeps/*/attempts/*.json",
    "outputs/invocation/[01]/run.json",
    "outputs/invocation/[01]/checkpoints/step-*",
    "outputs/invocation/[01]/result.json",
)


@dataclass(kw_only=True)
class Sequence:
    """One run, its kills and what was found at its end.

    Attributes:
      number: number of the sequence.
      scenario: name of the scenario.
      kills: stage, event and signal of each kill.
      faults: differences from an uninterrupted run.
      seconds: duration.
    """

    number: int
    scenario: str
    kills: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def line(self) -> str:
        """Returns the kills and the faults on one line."""
        kills = (
            " + ".join(f"{kill['signal']} in {kill['stage']}" for kill in self.kills)
            or "no kill: the run ended before"
        )
        faults = "; ".join(self.faults) or "equal"
        return f"{self.number:3d} {self.scenario}: {kills} · {faults} · {self.seconds:.0f} s"


class Campaign:
    """Runs sequences; uninterrupted runs are made when they are first needed.

    Args:
      out: folder of all runs.
      seed: seed of the kills.
      stages: stages in which runs are killed.
    """

    def __init__(self, out: Path, seed: int, stages: list[str]):
        self._out, self._seed, self._stages = out, seed, stages

    def sequence(self, number: int, name: str) -> Sequence:
        """Runs one sequence; deletes its folder if there is no fault."""
        began, drawn = time.monotonic(), random.Random(f"{self._seed} {number}")
        home = self._out / f"{number:03d}-{name}"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        found = Sequence(number=number, scenario=name)
        if name == EARLY:
            _kill_early(home, found, drawn)
        elif SCENARIOS[name].in_processes:
            whole, _ = self._whole(name)
            self._copy_cache_and_store(home, whole, "training")
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
        self._copy_cache_and_store(home, whole, first)
        for stage in (first, *drawn.choices(stages, k=3))[: drawn.choice((2, 3, 4))]:
            kill = _draw(stage, events[stage], drawn)
            ended = run(_command(scenario, home), home, kill=kill)
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
            ended = run(_command(scenario, home), home)
            if ended.code == 0 or (ended.code == 2 and _has_finished(home)):
                break
        else:
            found.faults.append(f"could not resume: exit code {ended.code}")
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
        """Returns the folder of the uninterrupted run, and the number of events of each stage."""
        home, counts = self._out / f"whole-{name}", self._out / f"whole-{name}.json"
        if not counts.exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            scenario = SCENARIOS[name]
            if scenario.in_processes:
                code, events = _wait_for(scenario.words, home), {}
            else:
                ended = run(_command(scenario, home), home)
                code, events = ended.code, ended.events
            if code:
                log = (home / "log").read_text(encoding="utf-8")
                raise SystemExit(f"{name} ended with {code}:\n{log[-3000:]}")
            counts.write_text(json.dumps(events), encoding="utf-8")
        return home, json.loads(counts.read_text(encoding="utf-8"))

    def _copy_cache_and_store(self, home: Path, whole: Path, stage: str) -> None:
        """Copies a cache and an empty store, to save time, unless their making is to be killed."""
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
            code = (
                "import sys, pathlib, ecgexp.tracking.mlflow.store_tables as s;"
                "s.create_tables(pathlib.Path(sys.argv[1]))"
            )
            subprocess.run([sys.executable, "-c", code, str(folder / "mlflow.db")], check=True)
        return folder / "mlflow.db"


def _draw(stage: str, events: int, drawn: random.Random) -> Kill:
    # With a copied store and cache, a run has fewer events in all stages but the last.
    number = drawn.randint(1, events if stage == "end" else max(1, events * 6 // 10))
    delay = drawn.choice((0.0, 0.0, 0.0, drawn.uniform(0, 5), drawn.uniform(0, 50)))
    with_signal = drawn.choice((*[signal.SIGKILL] * 8, signal.SIGTERM, signal.SIGINT))
    if with_signal != signal.SIGKILL:
        delay = 0.0
    return Kill(stage=stage, number=number, delay_ms=delay, with_signal=with_signal)


def _command(scenario: Scenario, home: Path) -> list[str]:
    """Returns the command that starts the run or sweep, or resumes it."""
    if scenario.is_sweep:
        return list(scenario.words)
    if (home / "run" / "run.json").is_file():
        return ["resume=run", "hydra.run.dir=command"]  # a folder that is removed again
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
    """Returns name -> folder of the finished runs; in a sweep, the names are those of jobs."""
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


def _wait_for(words: tuple[str, ...], home: Path) -> int:
    return _start(words, home).wait(timeout=_LONGEST_S)


def _kill_worker(home: Path, scenario: Scenario, found: Sequence, drawn: random.Random) -> None:
    """Kills a process of the launcher when a file appears, and runs the command again."""
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
    if _wait_for(scenario.words, home):
        found.faults.append("could not resume")


def _kill_early(home: Path, found: Sequence, drawn: random.Random) -> None:
    """Kills a command in its first half second.

    Its files must not contain the secret, and the next command must remove them.
    """
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
