"""The time that training will take is printed once, without its first step."""

import io

from ecgexp.console import Console, Stream
from ecgexp.experiment.time_left import TimeLeft


def printed(times, *, num_steps=10, total=4):
    """What is printed for steps that end at these times."""
    file = io.StringIO()
    console = Console(messages=Stream(file=file))
    clock = iter(times)
    time_left = TimeLeft(console, "epoch", num_steps, lambda: next(clock))
    for number in range(len(times)):
        time_left(1 + number // total, number % total + 1, total)
    return file.getvalue()


def test_time_left_leaves_out_the_compiled_first_step():
    # 60 s to compile, then 2 s for each of 40 steps; shown after three of them.
    lines = printed([60, 62, 64, 66, 68, 70])
    assert lines.replace("\N{NO-BREAK SPACE}", " ") == (
        "training: about 72 s left, 8 s for each epoch\n"
    )


def test_time_left_of_a_short_training_is_not_printed():
    assert not printed([1, 1.1, 1.2, 1.3], num_steps=1)
    assert not printed([1, 9], num_steps=1, total=2)
