"""Damage the files that commands read, one after another, and check what the commands do.

    uv run python scripts/damage_files.py --inputs 10000 --seed 1
    uv run python scripts/damage_files.py --seed 1 --only 4711        # one input again, in detail

A small folder of valid files is made (`fuzzing/world.py`): finished runs with their model and
tables, an unfinished run with its checkpoints and privacy journal, a sweep with its attempts and
parent run, a store's record of privacy losses, a cache, and recordings of every layout. For each
input, a command is drawn, one of the files that it reads (two for one input in ten) and a kind of
damage (`fuzzing/damage.py`): bits, truncation, lines, JSON values of another type, missing keys,
huge numbers, NaN, deep nesting, zeros, the content of another file, or a folder, a pipe or a link
to itself in place of the file. Then the command's own code reads it, in this process and without
TensorFlow. An input depends only on the seed and its number, except for random names within files.

Each input must end, within limits of time and memory, with the file read or left out, or with a
`ConfigError` or `DataError` of one line. Anything else is a finding: a traceback, a hang, a crash.
The exit code is then 1.
"""

import argparse
import os
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # before numpy: threads use address space
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np  # noqa: E402
from fuzzing.commands import EXPECTED, Command, make_commands  # noqa: E402
from fuzzing.damage import damage  # noqa: E402
from fuzzing.verdicts import FINDING, REFUSED, Verdict  # noqa: E402
from fuzzing.watch import Limits, run  # noqa: E402
from fuzzing.world import make_world  # noqa: E402

from ecgexp.cli.streams import command  # noqa: E402

READ = "read or left out"
_LONGEST_MESSAGE = 1500
# Limits of processor time and of elapsed time; the latter is long, for busy machines.
_CLOCKS = ((signal.SIGPROF, signal.ITIMER_PROF, 10.0), (signal.SIGALRM, signal.ITIMER_REAL, 120.0))
_PROCESS_S = 240.0


class Hang(BaseException):
    """An input took too long."""


class Snapshot:
    """The original content of a folder; `restore` writes only what has changed."""

    def __init__(self, world: Path):
        self._world = world
        self._files = {path: path.read_bytes() for path in world.rglob("*") if path.is_file()}
        self._folders = [path for path in world.rglob("*") if path.is_dir()]
        self._signs = {path: _sign(path) for path in self._files}

    def restore(self) -> None:
        """Restores the original content."""
        there = dict(_walk(self._world))
        for path, sign in there.items():
            if path not in self._files or sign != self._signs[path]:
                path.unlink() if path.is_symlink() or not path.is_dir() else shutil.rmtree(path)
        for folder in self._folders:
            folder.mkdir(exist_ok=True)
        for path, content in self._files.items():
            if there.get(path) != self._signs[path]:
                path.write_bytes(content)
                self._signs[path] = _sign(path)


def _walk(folder: Path) -> Any:
    """Yields every file below, and folders that replace a file."""
    for place, folders, names in os.walk(folder):
        for name in names:
            yield Path(place, name), _sign(Path(place, name))
        for name in folders:
            path = Path(place, name)
            if path.is_symlink() or path.suffix in _OF_FILES or path.name == ".lock":
                yield path, None


def _sign(path: Path) -> tuple[int, ...]:
    found = path.lstat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode


_SNAPSHOTS: dict[Path, Snapshot] = {}
_OF_FILES = (
    ".json",
    ".jsonl",
    ".yaml",
    ".csv",
    ".txt",
    ".html",
    ".parquet",
    ".safetensors",
    ".npy",
    ".npz",
    ".key",
    ".hea",
    ".dat",
    ".atr",
    ".md",
)


@command
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=10_000, help="number of inputs (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of all inputs (%(default)s)")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="number of processes (%(default)s)"
    )
    parser.add_argument(
        "--only",
        type=int,
        metavar="NUMBER",
        help="run only this input, and print the details",
    )
    given = parser.parse_args(arguments)
    commands = make_commands()
    numbers = range(given.inputs) if given.only is None else range(given.only, given.only + 1)
    began = time.monotonic()
    verdicts = list(
        campaign(
            commands, seed=given.seed, numbers=numbers, workers=min(given.workers, len(numbers))
        )
    )
    _print_results(verdicts, time.monotonic() - began, given.seed, whole=given.only is not None)
    return 1 if any(verdict is None or verdict.outcome == FINDING for _, verdict in verdicts) else 0


def campaign(commands: tuple[Command, ...], *, seed: int, numbers: range, workers: int) -> Any:
    """Yields number and verdict of each input; the verdict is None after a crash or hang."""
    limits = Limits(seconds=_PROCESS_S, memory_mib=4096)
    return run(
        commands,
        seed=seed,
        numbers=numbers,
        workers=workers,
        limits=limits,
        until=float("inf"),
        attempt=try_input,
    )


def try_input(commands: tuple[Command, ...], seed: int, number: int, folder: Path) -> Verdict:
    """Runs input `number` of the campaign with `seed`."""
    world = folder / "world"
    if world not in _SNAPSHOTS:
        shutil.rmtree(world, ignore_errors=True)
        make_world(world)
        _SNAPSHOTS[world] = Snapshot(world)
    rng = np.random.default_rng([seed, number])
    shares = np.array([command.share for command in commands])
    command = commands[rng.choice(len(commands), p=shares / shares.sum())]
    _SNAPSHOTS[world].restore()
    files = sorted(
        {path for pattern in command.reads for path in world.glob(pattern) if path.is_file()}
    )
    drawn = rng.permutation(len(files))[: 2 if rng.random() < 0.1 else 1]
    kind, mutations = kind_of(files[drawn[0]].relative_to(world)), [command.name]
    mutations += [
        f"{files[place].relative_to(world)}: {damage(files[place], rng)}" for place in drawn
    ]
    outcome, what, detail = _outcome(command, world)
    return Verdict(
        outcome=outcome,
        kind=what,
        detail=f"{mutations}\n{detail}",
        files={},
        mutations=mutations,
        case=kind,
    )


def _outcome(command: Command, world: Path) -> tuple[str, str, str]:
    for number, clock, seconds in _CLOCKS:
        signal.signal(number, _alarm)
        signal.setitimer(clock, seconds)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            command.run(world)
    except EXPECTED as error:
        text = str(error)
        if not text.isprintable() or len(text.replace(str(world), "")) > _LONGEST_MESSAGE:
            return (
                FINDING,
                f"{command.name}: an error message that is not one line",
                repr(text[:3000]),
            )
        return REFUSED, "", text
    except Hang:
        return FINDING, f"{command.name}: hang", traceback.format_exc()
    except Exception as error:  # noqa: BLE001 - any other exception is a finding
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if "/ecgexp/" in frame.filename
        ]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].name}" if frames else "elsewhere"
        return (
            FINDING,
            f"{command.name}: {type(error).__name__} in {place}",
            traceback.format_exc()[-3000:],
        )
    finally:
        for _, clock, _ in _CLOCKS:
            signal.setitimer(clock, 0)
    return READ, "", ""


def _alarm(*_: object) -> None:
    raise Hang


def kind_of(path: Path) -> str:
    """Returns the kind of a file, for the table of results."""
    parts = path.parts
    if parts[0] == "recordings":
        return f"recording {path.suffix}"
    if parts[0] == "cache":
        return "cache array" if "arrays" in parts else "cache index"
    for folder in (
        "attempts",
        "losses",
        "jobs",
        "checkpoints",
        "private",
        "parent",
        ".hydra",
        "model",
        "predictions",
        "tables",
    ):
        if folder in parts:
            name = (
                f"/{path.name}"
                if folder in ("private", "parent", ".hydra", "model", "tables")
                else ""
            )
            return f"{folder}{name}" if name else f"{folder}/*{path.suffix}"
    return path.name


def _print_results(
    verdicts: list[tuple[int, Verdict | None]], seconds: float, seed: int, *, whole: bool
) -> None:
    outcomes, by_kind, kinds, examples = Counter(), Counter(), Counter(), {}
    for number, verdict in verdicts:
        found = verdict or Verdict(
            outcome=FINDING, kind="a crash or hang", files={}, mutations=[], case="?"
        )
        outcomes[found.outcome] += 1
        by_kind[found.case, found.outcome] += 1
        if found.outcome == FINDING:
            kinds[found.kind] += 1
            examples.setdefault(found.kind, (number, found.detail))
        if whole:
            print(found.mutations, found.outcome, found.kind, found.detail, sep="\n")
    print(f"{len(verdicts)} inputs of seed {seed} in {seconds:.0f} s")
    print(f"{'':32}" + "".join(f"{outcome:>18}" for outcome in (REFUSED, READ, FINDING)))
    for name in [*sorted({case for case, _ in by_kind}), "all"]:
        counts = [
            outcomes[one] if name == "all" else by_kind[name, one]
            for one in (REFUSED, READ, FINDING)
        ]
        print(f"{name:32}" + "".join(f"{count:>18}" for count in counts))
    for kind, times in kinds.most_common():
        number, detail = examples[kind]
        print(
            f"{times:>6}  {kind} (e.g. --only {number})\n"
            f"        {detail.partition(chr(10))[0][:300]}"
        )


if __name__ == "__main__":
    sys.exit(main())
