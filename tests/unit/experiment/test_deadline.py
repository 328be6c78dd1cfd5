"""The time limit of a run."""

import pytest

from ecgexp.experiment.deadline import Deadline
from ecgexp.settings.declaration import OutOfTime


class Clock:
    seconds = 1000.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


def test_run_without_a_limit_never_ends(clock):
    deadline = Deadline(clock=clock)
    clock.seconds = 1e9
    deadline.check("at the end")
    assert deadline.fits_another_step(divisible=False)


def test_run_ends_when_no_time_is_left(clock):
    deadline = Deadline(minutes=1, clock=clock)
    clock.seconds += 59
    deadline.check("before the training")
    clock.seconds += 1
    with pytest.raises(OutOfTime, match="^max_minutes=1: ended before the training$"):
        deadline.check("before the training")


def test_round_that_would_not_fit_does_not_begin(clock):
    deadline = Deadline(minutes=1, clock=clock)
    deadline.begin_steps()
    clock.seconds += 25
    assert deadline.fits_another_step(divisible=False)
    clock.seconds += 15
    assert not deadline.fits_another_step(divisible=False), "25 s do not fit into 20 s"


def test_epoch_that_can_be_divided_begins(clock):
    deadline = Deadline(minutes=1, clock=clock)
    deadline.begin_steps()
    clock.seconds += 55
    assert deadline.fits_another_step(divisible=True)


def test_time_before_the_run_counts(clock):
    assert Deadline(minutes=1, clock=clock, began=clock() - 60).has_passed
