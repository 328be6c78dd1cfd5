"""Helpers of tests that kill processes."""

import time


def wait_for(condition, process, seconds=400):
    """Returns when the condition holds, of a process that must not end before."""
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)
