"""Saves checkpoints in a tight loop until it is killed: `checkpoint_writer.py FOLDER FIRST_STEP
[SYSCALL NUMBER]`.

Prints `begin STEP` and `saved STEP`. With SYSCALL, it kills itself right before its NUMBERth call
of it, like a power failure.
"""

import os
import signal
import sys
from itertools import count
from pathlib import Path

import numpy as np

from ecgexp.training.checkpointing.store import Checkpoint, Checkpoints


def checkpoint_of(step):
    """Whose every part tells its step: 2 MB, so that most of the time is spent in writing it."""
    arrays = {f"part/{i}": np.full(250_000, step, np.int64 if i else np.float64) for i in range(2)}
    return Checkpoint(step=step, arrays=arrays, meta={"step": step, "third": step / 3})


def assert_whole(checkpoint):
    expected = checkpoint_of(checkpoint.step)
    assert checkpoint.meta == expected.meta
    assert checkpoint.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(checkpoint.arrays[name], array)


def die_at(name, number):
    real, calls = getattr(os, name), count(1)

    def call(*args, **kwargs):
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    setattr(os, name, call)


def main(folder, first, *death):
    store = Checkpoints(Path(folder))
    if death:
        die_at(death[0], int(death[1]))
    for step in count(int(first)):
        os.write(1, f"begin {step}\n".encode())
        store.save(checkpoint_of(step))
        os.write(1, f"saved {step}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
