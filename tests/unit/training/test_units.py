import numpy as np
import pytest
from linear import linear_data

from ecgexp.privacy.settings import PrivacySpec
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import DataError
from ecgexp.training.dp.units import Units, Views, units_of
from ecgexp.training.step_randomness import StepRandomness

OWNERS = ["b", "a", "b", "c", "a", "c", "b"]
TRAIN = np.array([6, 0, 1, 3, 2])  # leaves out row 4 of a and row 5 of c


def data(train=TRAIN):
    return linear_data(np.zeros((7, 2)), train=train, patients=OWNERS)


def test_a_beat_is_its_own_unit():
    units = units_of(data(), "beat")
    assert len(units) == 5
    assert units.take(np.array([0, 3])).rows.tolist() == [6, 3]


@pytest.mark.parametrize("unit", ["record", "patient"])
def test_a_patient_is_all_of_their_training_rows_and_no_other(unit):
    units = units_of(data(), unit)
    rows, lengths = units.take(np.arange(len(units)))
    assert lengths.tolist() == [1, 3, 1]
    assert [sorted(part.tolist()) for part in np.split(rows, [1, 4])] == [[1], [0, 2, 6], [3]]


def test_units_are_taken_in_the_order_asked_for_and_none_is_fine():
    units = Units(rows=np.array([5, 6, 7, 8, 9]), starts=np.array([0, 2, 3, 5]))
    rows, lengths = units.take(np.array([2, 0]))
    assert (rows.tolist(), lengths.tolist()) == ([8, 9, 5, 6], [2, 2])
    rows, lengths = units.take(np.zeros(0, np.int64))
    assert (len(rows), len(lengths)) == (0, 0)


def test_a_row_listed_twice_is_refused():
    with pytest.raises(DataError, match="1 rows are listed more than once"):
        units_of(data(np.array([0, 1, 1])), "beat")


def test_views_are_those_of_their_row_and_all_of_them_occur():
    views = Views(np.array([1, 3, 1, 3, 3]), np.array([0, 0, 4, 5, 6]), 5)
    drawn = views.draw(np.array([3, 1]), 200, np.random.default_rng(0))
    assert set(drawn[:200]) == {0, 5, 6}
    assert set(drawn[200:]) == {0, 4}


@pytest.mark.parametrize("noise_seed", [None, 3])
def test_step_randomness_is_secret_only_with_a_guarantee(noise_seed):
    plan = PrivacySpec(noise_multiplier=1, noise_seed=noise_seed).plan(
        num_units=100, expected_batch_size=10, epochs=1
    )
    step_randomness, again, other = (StepRandomness(plan, Seeds(seed)) for seed in (0, 0, 1))
    repeatable = noise_seed is not None
    assert (step_randomness.of_step(4).random() == again.of_step(4).random()) is repeatable
    assert (step_randomness.of_dropout(4) == again.of_dropout(4)) is repeatable
    assert (
        step_randomness.of_step(4).random()
        == step_randomness.of_step(4).random()
        != step_randomness.of_step(5).random()
    )
    assert step_randomness.of_dropout(1) != step_randomness.of_dropout(2)
    assert other.of_step(4).random() != step_randomness.of_step(4).random()


def test_step_randomness_is_never_serialized():
    import pickle

    plan = PrivacySpec(noise_multiplier=1).plan(num_units=100, expected_batch_size=10, epochs=1)
    with pytest.raises(TypeError, match="never serialized"):
        pickle.dumps(StepRandomness(plan, Seeds(0)))
