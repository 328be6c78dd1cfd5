"""The first signal ends a run in order, the second one ends the process at once."""

import signal
import subprocess
import sys

import pytest

# In the place of a run: one whose closing takes for ever.
SLOW_TO_CLOSE = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from ecgexp.cli import run as command, running

def run():
    try:
        print("running", flush=True)
        time.sleep(100)
    finally:
        print("closing", flush=True)
        time.sleep({closing})

running._compose_and_run_all = run
command.main()
"""


def start(closing):
    return subprocess.Popen(
        [sys.executable, "-c", SLOW_TO_CLOSE.format(closing=closing)],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_first_signal_ends_the_run_in_order(number, code):
    with start(closing=0.1) as process:
        assert process.stdout.readline() == "running\n"
        process.send_signal(number)
        assert process.stdout.read() == "closing\n"
        assert process.wait(timeout=60) == code


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_ends_the_process_at_once(first, second):
    with start(closing=1000) as process:
        assert process.stdout.readline() == "running\n"
        process.send_signal(first)
        assert process.stdout.readline() == "closing\n"
        process.send_signal(second)
        assert process.wait(timeout=60) == -second
