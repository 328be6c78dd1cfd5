"""What the tests of the worker ask about processes: by number only, so nobody else's is ever touched."""

import os
import signal
import time
from pathlib import Path


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def is_gone(pid: int, within_s: float = 3.0) -> bool:
    deadline = time.monotonic() + within_s
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(pid)


def kill(*pids: int | None) -> None:
    for pid in pids:
        if pid and is_running(pid):
            os.kill(pid, signal.SIGKILL)
