"""Data with a protocol error on: copies across the split, fewer beats, images off by one."""

from dataclasses import replace

import numpy as np
import pytest

from ecgexp.config.compose import load_experiment
from ecgexp.data.leakage import check_split
from ecgexp.replication.data import shifted, with_copies
from ecgexp.replication.parts import FirstBeats
from ecgexp.replication.protocol_errors import switches
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import DataError


def silent(*_, **__):
    pass


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def replicated(cache, *on, protocol="central", more=()):
    words = [f"protocol_errors.{name}={str(name in on).lower()}" for name in switches(protocol)]
    small = [
        "dataset=synthetic",
        "dataset.num_patients=12",
        "dataset.minutes=0.8",
        f"data.cache_dir={cache}",
    ]
    more = [*more, "~dataset.records"] if protocol == "federated" else more
    return load_experiment([f"experiment=replication/{protocol}", *small, *words, *more])


def identities(run_data, split):
    rows, beats = run_data.indices[split], run_data.beats
    return set(zip(beats.record_ids[rows].tolist(), beats.r_samples[rows].tolist(), strict=True))


def test_copies_made_before_the_split_stand_on_both_sides(cache):
    experiment = replicated(cache, "augment_before_split", "split_by_beat")
    run_data = experiment.load_run_data(Seeds(0), silent)
    train, test = identities(run_data, "train"), identities(run_data, "test")
    copied = run_data.beats.take(
        np.flatnonzero(run_data.beats.labels != run_data.beats.class_names.index("N"))
    )
    of_test = {
        one
        for one in test
        if one in set(zip(copied.record_ids.tolist(), copied.r_samples.tolist(), strict=True))
    }
    assert len(train & test & of_test) > 0.99 * len(
        of_test
    )  # of ten copies one is in the training but for 1 in 1000 or so
    assert not (train & test) - of_test  # a normal beat has no copy
    with pytest.raises(DataError, match="leakage: train and"):
        check_split(run_data.beats, run_data.split)
    rows = np.concatenate(list(run_data.indices.values()))
    assert sorted(rows.tolist()) == list(
        range(len(run_data.beats))
    )  # every copy in one part, and once
    assert len(run_data.data.features["image"]) == len(run_data.beats)


@pytest.mark.parametrize("on", [("split_by_beat",), ()])
def test_without_the_switch_no_beat_is_on_two_sides(cache, on):
    run_data = replicated(cache, *on).load_run_data(Seeds(0), silent)
    parts = [identities(run_data, name) for name in ("train", "validation", "test")]
    assert len(set().union(*parts)) == sum(map(len, parts))
    check_split(run_data.beats, run_data.split)


def test_copies_under_a_split_by_patient_stay_on_one_side(cache):
    run_data = replicated(cache, "augment_before_split").load_run_data(Seeds(0), silent)
    patients = [
        set(run_data.beats.patient_ids[rows].tolist()) for rows in run_data.indices.values()
    ]
    assert len(set().union(*patients)) == sum(map(len, patients))


def test_a_row_is_the_view_that_training_would_have_shown(cache):
    """A copy's image is the crop that the augmentation of a sound run makes of the beat in the
    training step.
    """
    experiment = replicated(cache, "split_by_beat")
    run_data = experiment.load_run_data(Seeds(0), silent)
    crops = experiment.augmentation.steps[0]
    beats, features = with_copies(run_data.beats, run_data.data.features, crops)
    rows, views = crops.expand(run_data.beats.labels, run_data.beats.class_names)
    np.testing.assert_array_equal(beats.r_samples, run_data.beats.r_samples[rows])
    np.testing.assert_array_equal(features["image"][views == 0], run_data.data.features["image"])
    row = int(
        np.flatnonzero(views == 9)[0]
    )  # the crop from the lower right: its last pixel is the image's
    assert features["image"][row, -1, -1] == pytest.approx(
        run_data.data.features["image"][rows[row], -1, -1], abs=1
    )
    assert (features["image"][row] != features["image"][row - 9]).any()


def test_what_is_random_stays_in_the_training(cache):
    left = replicated(cache, "augment_before_split").augmentation
    assert left.num_views == 1
    assert left.name == "crops9 before the split+image"
    rows, views = left.expand(np.zeros(5, int), ("N",))
    assert (rows.tolist(), views.tolist()) == ([0, 1, 2, 3, 4], [0] * 5)


def test_the_first_beats_are_the_first_and_known_by_another_digest(cache):
    whole = replicated(cache).dataset
    first, beats = FirstBeats(dataset=whole, num_beats=100).load(), whole.load()
    np.testing.assert_array_equal(first.r_samples, beats.r_samples[:100])
    assert first.digest != beats.digest
    assert len(FirstBeats(dataset=whole).load()) == len(beats)
    assert FirstBeats(dataset=whole).window_samples == whole.window_samples


@pytest.mark.real_data
def test_among_the_first_20_000_beats_is_no_r(real_root, cache):
    words = ["experiment=replication/central", f"data.root={real_root}", f"data.cache_dir={cache}"]
    experiment = load_experiment(words)
    beats = experiment.grouping.apply(experiment.dataset.load())
    assert "R" not in beats.class_names
    assert {"N", "L", "V", "P", "A"} == set(beats.class_names)


@pytest.mark.real_data
def test_the_private_protocol_has_the_rows_that_epsilon_was_computed_from(real_root, cache):
    words = ["experiment=replication/dp", f"data.root={real_root}", f"data.cache_dir={cache}"]
    split = load_experiment(words).load_run_data(Seeds(0), silent).split
    assert (len(split.train), len(split.train) + len(split.validation)) == (52_367, 66_288)


def test_every_image_has_the_label_of_the_beat_before(cache):
    sound, with_protocol_errors = (
        replicated(cache, *on, protocol="federated").load_run_data(Seeds(0), silent)
        for on in ((), ("shifted_images",))
    )
    np.testing.assert_array_equal(sound.data.labels, with_protocol_errors.data.labels)
    np.testing.assert_array_equal(
        with_protocol_errors.data.features["image"][:-1], sound.data.features["image"][1:]
    )
    assert list(sound.data.clients) == list(with_protocol_errors.data.clients)


def test_shifting_is_by_one():
    np.testing.assert_array_equal(shifted({"a": np.array([[1], [2], [3]])})["a"], [[2], [3], [1]])


def test_an_ordinary_experiment_does_not_come_this_way(cache, monkeypatch):
    import ecgexp.replication.experiment as module

    monkeypatch.setattr(
        module,
        "load_run_data_with_errors",
        lambda *_: pytest.fail("a run without protocol errors was loaded with them"),
    )
    experiment = replicated(cache)
    assert experiment.load_run_data(Seeds(0), silent).split.disjoint == "patient"
    assert replace(experiment, seed=1).protocol_errors.names == ()
