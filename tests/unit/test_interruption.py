"""Signals are neither lost nor do they leave a half-made thread; each in a process of its own."""

import signal
import subprocess
import sys

import pytest

_IN_CALLBACK = """
import signal, sys, time, weakref
from ecgexp.interruption import handle_signals

class Anything:
    pass

signal.signal(signal.SIGINT, signal.default_int_handler)  # a test in the background ignores it
handle_signals(lambda name: print(name, flush=True))
anything = Anything()
seen = weakref.ref(anything, lambda _: signal.raise_signal(int(sys.argv[1])))
del anything
time.sleep(300)  # the exception of the signal ends it
print("lost")
"""

_POSTPONED = """
import signal, sys
from ecgexp.interruption import handle_signals, postponed

handle_signals(lambda name: print(name))
try:
    with postponed():
        with postponed():
            signal.raise_signal(int(sys.argv[1]))
        print("whole", flush=True)
finally:
    print("raised", flush=True)
print("lost")
"""

_WHILE_A_THREAD_STARTS = """
import signal, sys, threading
from ecgexp.interruption import handle_signals
from ecgexp.privacy.noise import NoiseSource

def start(thread, start=threading.Thread.start):
    start(thread)
    if thread.name.startswith("noise"):
        signal.raise_signal(int(sys.argv[1]))

threading.Thread.start = start
handle_signals(lambda name: None)
NoiseSource(seed=0).normal(10, std=1.0)
print("lost")
"""


def run(code, number):
    return subprocess.run(
        [sys.executable, "-c", code, str(int(number))],
        capture_output=True,
        text=True,
        timeout=400,
    )


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)]
)
def test_signal_within_a_callback_is_raised_again(number, code):
    done = run(_IN_CALLBACK, number)
    assert (done.returncode, done.stdout) == (code, f"{number.name}\n")
    assert "ignored in" not in done.stderr


def test_postponed_signal_is_raised_after_the_outer_block():
    done = run(_POSTPONED, signal.SIGTERM)
    assert (done.returncode, done.stdout) == (143, "SIGTERM\nwhole\nraised\n"), done.stderr


def test_signal_while_a_thread_of_noise_starts_ends_the_process():
    """The thread is joined at the end, for which its pool must know it."""
    done = run(_WHILE_A_THREAD_STARTS, signal.SIGTERM)
    assert (done.returncode, done.stdout) == (143, ""), done.stderr
