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
    assert Deadline(minutes=1, clock=clock, began=clock() - 60).must_end


def trained(clock, *, start=10, saving=2, validating=3):
    """Return the limit of one minute of a run that has measured these seconds."""
    deadline = Deadline(minutes=1, clock=clock)
    clock.seconds += start
    deadline.begin_steps()
    with deadline.validating():
        clock.seconds += validating
    with deadline.saving():
        clock.seconds += saving
    return deadline


def test_run_ends_with_time_left_to_save_and_to_close(clock):
    deadline = trained(clock)
    end = deadline.began + 60
    clock.seconds = end - 9  # saving may take 2 * 2 s, closing 0.4 of the 10 s of the start
    assert not deadline.must_end
    clock.seconds = end - 8
    assert deadline.must_end


def test_longest_time_between_two_looks_is_reserved(clock):
    deadline = trained(clock)
    for seconds in (30, 36, 42, 44):
        clock.seconds = deadline.began + seconds
        assert not deadline.must_end
    clock.seconds = deadline.began + 60 - 8 - 6
    assert deadline.must_end, "the next look would be 6 s later or more"


def test_time_to_save_is_not_one_between_looks(clock):
    deadline = trained(clock, saving=0)
    assert not deadline.must_end
    with deadline.saving():
        clock.seconds += 11
    clock.seconds += 1
    assert not deadline.must_end, "35 s left; 22 s to save, 4 s to close, 1 s between two looks"


def test_round_fits_only_with_what_follows_it(clock):
    deadline = trained(clock)  # a round of 5 s, then 8 s to save and to close
    assert deadline.fits_another_step(divisible=False)
    clock.seconds += 19
    assert not deadline.fits_another_step(divisible=False), "19 s would fit into 26 s"


def test_start_that_preprocesses_reserves_a_minute_at_most(clock):
    deadline = Deadline(minutes=60, clock=clock)
    clock.seconds += 1800
    deadline.begin_steps()
    clock.seconds = deadline.began + 3600 - 61
    assert not deadline.must_end
    clock.seconds += 1
    assert deadline.must_end


def test_evaluation_that_does_not_fit_does_not_begin(clock):
    deadline = trained(clock)
    # 4 * 3 s of predictions, 10 s of figures, 8 s to save and to close
    clock.seconds = deadline.began + 60 - 31
    deadline.check_evaluation(4)
    clock.seconds += 1
    with pytest.raises(OutOfTime, match="max_minutes=1: ended before the evaluation, .*30"):
        deadline.check_evaluation(4)


def test_evaluation_without_a_limit_begins(clock):
    Deadline(clock=clock).check_evaluation(1e9)
