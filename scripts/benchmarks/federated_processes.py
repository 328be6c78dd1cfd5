"""The processes of the variants that `federated.py` compares, and their memory."""

import argparse
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NEEDS = {"torch": ("torch",), "flower": ("flwr", "ray", "torch"), "pfl": ("pfl", "torch")}
_SAMPLING_S, _WALKING_S = 0.05, 1.0
_LONGEST_ROUND_S = 300
_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}
Row = dict[str, Any]


class Child:
    """One variant in its own process, with its measurements in `row`."""

    def __init__(self, variant: str, model: str, options: argparse.Namespace):
        self.row: Row = {"variant": variant, "seconds": [], "peak": 0}
        self._process: subprocess.Popen | None = None
        python = _interpreter(variant, options.python)
        if python is None:
            needed = ", ".join(NEEDS[variant.split()[0]])
            self._fail(f"no interpreter has {needed}; see --python")
            return
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - read after the process has ended
        command = [
            python,
            str(Path(__file__).with_name("federated.py")),
            "--clients",
            str(options.clients),
            "--beats",
            str(options.beats),
            "--batch",
            str(options.batch),
            "--rounds",
            str(options.rounds),
            "--child",
            variant,
            model,
        ]
        self._began = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**_ENVIRONMENT, **os.environ},
        )

    def round(self) -> None:
        """Runs one round; does nothing after a failure."""
        if "error" in self.row:
            return
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(b"go\n")
            self._process.stdin.flush()
        line = self._answer()
        if not line:
            self._fail(self._last_words())
            return
        answer = json.loads(line)
        if "first" not in self.row:
            self.row |= {"first": time.perf_counter() - self._began, **answer, "seconds": []}
        else:
            self.row["seconds"].append(answer["seconds"])

    def resident(self) -> int:
        """Returns the resident bytes of the process and its descendants."""
        return sum(map(_resident, _tree(self._process.pid)))

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.stdin.close()
        try:
            self._process.wait(0 if "error" in self.row else 60)
        except subprocess.TimeoutExpired:
            for pid in _tree(self._process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()

    def _answer(self) -> bytes:
        """Returns the child's next line, empty after its end or a timeout, and samples memory."""
        deadline, walked, pids = time.monotonic() + _LONGEST_ROUND_S, 0.0, []
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self._process.stdout], [], [], _SAMPLING_S)
            if (
                time.monotonic() - walked > _WALKING_S
            ):  # Ray's processes have hundreds of threads to ask for children
                walked, pids = time.monotonic(), _tree(self._process.pid)
            self.row["peak"] = max(self.row["peak"], sum(map(_resident, pids)))
            if ready:
                return self._process.stdout.readline()
        return b""

    def _last_words(self) -> str:
        try:
            self._process.wait(5)  # its output ends a moment before it does
        except subprocess.TimeoutExpired:
            return f"no answer within {_LONGEST_ROUND_S} s"
        self._errors.seek(0)
        return (self._errors.read().strip().splitlines() or [f"exit {self._process.returncode}"])[
            -1
        ]

    def _fail(self, reason: str) -> None:
        self.row = {"variant": self.row["variant"], "error": reason}


def _interpreter(variant: str, pythons: list[str]) -> str | None:
    needed = NEEDS.get(variant.split()[0], ())
    if not needed:
        return sys.executable
    probe = f"import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, {needed!r})))"
    return next(
        (
            python
            for python in (*pythons, sys.executable)
            if not subprocess.call([python, "-c", probe])
        ),
        None,
    )


def _tree(pid: int) -> list[int]:
    """Returns `pid` and its descendants, from Linux's /proc."""
    found, open_ends = [], [pid]
    while open_ends:
        found.append(open_ends.pop())
        for children in Path(f"/proc/{found[-1]}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # gone in the meantime
                open_ends += map(int, children.read_text(encoding="ascii").split())
    return found


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )
    except OSError:
        return 0
