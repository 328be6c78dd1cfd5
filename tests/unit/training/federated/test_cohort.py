"""Who fails in a round: each client by itself, so that one more client changes nobody else's part.

Without TensorFlow.
"""

import numpy as np
import pytest

from ecgexp.privacy.settings import NotPrivate, PrivacySpec
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError
from ecgexp.training.base import TrainingData
from ecgexp.training.federated.cohort import drop_out
from ecgexp.training.federated.trainer import Federated
from ecgexp.training.step_randomness import StepRandomness

IDS = [f"p{number:02d}" for number in range(47)]
SIMULATION = PrivacySpec(noise_multiplier=1.0, unit="patient", noise_seed=1)
GUARANTEE = PrivacySpec(noise_multiplier=1.0, unit="patient")


def step_randomness(privacy, seed=0, num_units=47):
    return StepRandomness(
        privacy.plan(num_units=num_units, expected_batch_size=10, iterations=20), Seeds(seed)
    )


def present(ids, drawn_with, round_num, probability=0.3, sampled=None):
    """The ids of those that train."""
    sampled = np.arange(len(ids)) if sampled is None else sampled
    cohort = drop_out(
        sampled, probability, client_ids=ids, step_randomness=drawn_with, round_num=round_num
    )
    assert set(cohort.present) | set(cohort.dropped) == set(sampled)
    return {ids[number] for number in cohort.present}


@pytest.mark.parametrize("privacy", [SIMULATION, NotPrivate()], ids=["simulation", "no privacy"])
@pytest.mark.parametrize("probability", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("gone", [0, 20, 46])
def test_dropout_without_one_client_changes_nobody_else(privacy, probability, gone):
    ours, theirs = step_randomness(privacy), step_randomness(privacy, num_units=46)
    less = [name for name in IDS if name != IDS[gone]]
    for round_num in range(1, 21):
        full = present(IDS, ours, round_num, probability)
        assert full - {IDS[gone]} == present(less, theirs, round_num, probability)


def test_dropout_of_a_client_replaced_changes_nobody_else():
    other = ["x", *IDS[1:]]
    for round_num in range(1, 21):
        difference = present(IDS, step_randomness(SIMULATION), round_num) ^ present(
            other, step_randomness(SIMULATION), round_num
        )
        assert difference <= {"p00", "x"}


def test_dropout_does_not_depend_on_who_was_sampled_or_in_which_order():
    drawn_with = step_randomness(SIMULATION)
    some = np.array([40, 3, 7])
    assert present(IDS, drawn_with, 5, sampled=some) == present(IDS, drawn_with, 5) & {
        "p40",
        "p03",
        "p07",
    }


def test_dropout_has_its_rate_and_is_independent_between_rounds():
    drawn_with = step_randomness(SIMULATION)
    rounds = (present(IDS, drawn_with, round_num) for round_num in range(1, 401))
    failed = np.array([[name not in there for name in IDS] for there in rounds])
    assert abs(failed.mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / failed.size)
    assert abs(np.corrcoef(failed[:-1].ravel(), failed[1:].ravel())[0, 1]) < 5 / np.sqrt(
        failed.size
    )
    assert abs(np.corrcoef(failed[:, :-1].ravel(), failed[:, 1:].ravel())[0, 1]) < 5 / np.sqrt(
        failed.size
    )


def test_dropout_with_a_guarantee_does_not_follow_from_the_seed():
    rounds = range(1, 21)
    one, other = step_randomness(GUARANTEE), step_randomness(GUARANTEE)
    assert [present(IDS, one, n, 0.5) for n in rounds] != [
        present(IDS, other, n, 0.5) for n in rounds
    ]
    assert [present(IDS, one, n, 0.5) for n in rounds] == [
        present(IDS, one, n, 0.5) for n in rounds
    ]


def test_dropout_without_a_guarantee_follows_from_the_seed():
    for privacy in (SIMULATION, NotPrivate()):
        assert (
            present(IDS, step_randomness(privacy), 3)
            == present(IDS, step_randomness(privacy), 3)
            != present(IDS, step_randomness(privacy, 1), 3)
        )


def test_dropout_of_nobody_sampled_is_nobody():
    assert present(IDS, step_randomness(SIMULATION), 1, sampled=np.arange(0)) == set()


def clients(names):
    """One beat of each of three patients, with clients of those names."""
    owners = np.array(["100", "101", "102"])
    return TrainingData(
        features={"signal": np.zeros((3, 4, 1), np.float32)},
        labels=np.zeros(3, np.int64),
        train=np.arange(3),
        class_names=("N",),
        record_ids=owners,
        patient_ids=owners,
        clients={name: np.array([number]) for number, name in enumerate(names)},
    )


def test_clients_named_by_place_are_refused_under_a_guarantee():
    """As `partition=iid` names them.

    By chance each may hold one patient, and with one more patient all names move.
    """
    with pytest.raises(
        ConfigError, match=r"privacy\.unit=patient: client client00.*partition=by_patient"
    ):
        Federated().plan(GUARANTEE, clients(["client00", "client01", "client02"]))
    assert Federated().plan(GUARANTEE, clients(["100", "101", "102"])).num_units == 3
    assert (
        Federated().plan(NotPrivate(), clients(["client00", "client01", "client02"])).num_units == 3
    )
