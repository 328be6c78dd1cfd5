"""Every partition assigns each beat once, and `check_partition` detects violations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from partitioning import make_beats, make_split, rng

from ecgexp.data.partition.base import ClientPartition, check_partition
from ecgexp.data.partition.natural import ByPatient, ByRecord, Pooled
from ecgexp.data.partition.random import Dirichlet, Iid, QuantitySkew, Shards
from ecgexp.settings.declaration import ConfigError, DataError

DRAWN = [
    Iid(num_clients=3),
    Dirichlet(num_clients=4, alpha=0.3, min_beats=1),
    Shards(num_clients=3, shards_per_client=2),
    QuantitySkew(num_clients=3, alpha=0.5, min_beats=2),
]
NATURAL = [Pooled(), ByPatient(), ByRecord()]


@st.composite
def splits(draw):
    """Labeled beats of several records and patients, and a split that may omit some beats."""
    labels = draw(st.lists(st.integers(0, 3), min_size=30, max_size=150))
    records = draw(st.lists(st.sampled_from("abcdef"), min_size=len(labels), max_size=len(labels)))
    shuffled = np.array(draw(st.permutations(range(len(labels)))))
    train = draw(st.integers(12, len(labels)))
    test = draw(st.integers(train, len(labels)))
    end = draw(st.integers(test, len(labels)))
    parts = (shuffled[:train], shuffled[train:test], shuffled[test:end])
    beats = make_beats(
        labels, records=records, patients=["ab" if name in "ab" else name for name in records]
    )
    return beats, make_split(*map(np.sort, parts))


@pytest.mark.parametrize(
    "partition", [*DRAWN, *NATURAL], ids=lambda partition: type(partition).__name__
)
@settings(max_examples=40)
@given(case=splits(), seed=st.integers(0, 99))
def test_every_beat_of_the_split_has_exactly_one_client(partition, case, seed):
    beats, split = case
    clients = partition.assign(beats, split, rng(seed))
    check_partition(clients, split)
    for part, expected in (
        (clients.train, split.train),
        (clients.validation, split.validation),
        (clients.test, split.test),
    ):
        assert (
            np.sort(np.concatenate([np.zeros(0, np.int64), *part.values()])).tolist()
            == expected.tolist()
        )
        assert all(np.array_equal(rows, np.sort(rows)) for rows in part.values())
        assert list(part) == sorted(part)
    assert all(len(rows) >= getattr(partition, "min_beats", 1) for rows in clients.train.values())
    assert len(clients.train) == getattr(partition, "num_clients", len(clients.train))


@pytest.mark.parametrize("partition", DRAWN, ids=lambda partition: type(partition).__name__)
def test_partition_depends_on_the_generator(partition):
    beats = make_beats(np.tile([0, 0, 0, 1, 2, 3], 60))
    split = make_split(np.arange(200), np.arange(200, 260), np.arange(260, 360))
    first, again, other = (partition.assign(beats, split, rng(seed)) for seed in (1, 1, 2))
    for name, part in first.parts.items():
        assert {client: rows.tolist() for client, rows in part.items()} == {
            client: rows.tolist() for client, rows in again.parts[name].items()
        }
    assert any(
        not np.array_equal(rows, other.train[client]) for client, rows in first.train.items()
    )


@pytest.mark.parametrize("partition", [Iid, Dirichlet, Shards, QuantitySkew])
def test_partition_with_one_client_assigns_all_beats(partition):
    beats = make_beats(np.tile([0, 1], 20))
    clients = partition(num_clients=1).assign(
        beats, make_split(np.arange(30), [], np.arange(30, 40)), rng()
    )
    assert clients.train["client00"].tolist() == list(range(30))
    assert clients.validation == {}
    assert clients.test["client00"].tolist() == list(range(30, 40))
    assert not clients.is_pooled


@pytest.mark.parametrize(
    ("num_clients", "first", "last"), [(7, "client00", "client06"), (120, "client000", "client119")]
)
def test_client_ids_sort_as_numbers(num_clients, first, last):
    clients = Iid(num_clients=num_clients).assign(
        make_beats(np.zeros(240)), make_split(np.arange(240)), rng()
    )
    names = list(clients.train)
    assert names == sorted(names)
    assert (names[0], names[-1], len(names)) == (first, last, num_clients)


def rows(*values):
    return np.array(values, np.int64)


def test_partition_with_an_empty_or_absent_client_is_accepted():
    split = make_split([0, 2, 5], [1], [3])
    check_partition(
        ClientPartition(
            train={"b": rows(0, 5), "a": rows(2)},
            validation={"c": rows(1), "a": rows()},
            test={"a": rows(3)},
        ),
        split,
    )


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        (
            "train",
            {"a": rows(0, 2), "b": rows(2, 5)},
            "1 train beats have several clients: row 2 is assigned to a, b",
        ),
        ("train", {"a": rows(0, 2)}, "1 of 3 train beats have no client, such as row 5"),
        (
            "train",
            {"a": rows(0, 2, 3, 5)},
            "1 beats assigned for train are not train beats, such as row 3",
        ),
        ("train", {"a": rows(0, 2, 5), "b": rows()}, "client b has no training beat"),
        ("train", {"a": rows(0, 5, 2)}, "train rows of client a are not sorted"),
        (
            "train",
            {"a": rows(0, 2, 2, 5)},
            "train rows of client a are not sorted, or contain a beat twice",
        ),
        (
            "train",
            {"a": np.array([True, False, True])},
            "train rows of client a are not a one-dimensional array",
        ),
        (
            "train",
            {"a": rows(0, 2, 5).astype(float)},
            "train rows of client a are not a one-dimensional array",
        ),
        ("train", {"a": [0, 2, 5]}, "train rows of client a are not a one-dimensional array"),
        (
            "train",
            {"a": rows(0, 2, 5)[None]},
            "train rows of client a are not a one-dimensional array",
        ),
        ("train", {}, "3 of 3 train beats have no client"),
        ("validation", {}, "1 of 1 validation beats have no client"),
        (
            "test",
            {"a": rows(3), "b": rows(3)},
            "1 test beats have several clients: row 3 is assigned to a, b",
        ),
        ("test", {"a": rows(1, 3)}, "1 beats assigned for test are not test beats, such as row 1"),
    ],
)
def test_inconsistent_partition_is_refused(part, value, message):
    sound = {"train": {"a": rows(0, 2, 5)}, "validation": {"a": rows(1)}, "test": {"a": rows(3)}}
    check_partition(ClientPartition(**sound), make_split([0, 2, 5], [1], [3]))
    with pytest.raises(DataError, match=f"partition: .*{message}"):
        check_partition(ClientPartition(**(sound | {part: value})), make_split([0, 2, 5], [1], [3]))


@pytest.mark.parametrize(
    ("partition", "message"),
    [
        (
            Iid(num_clients=21),
            r"num_clients=21 needs 21 training beats, but there are 20; use "
            r"partition\.num_clients=20$",
        ),
        (
            Dirichlet(),
            r"num_clients=10 with partition\.min_beats=10 needs 100 .* there are 20; use "
            r"partition\.num_clients=1$",
        ),
        (
            QuantitySkew(num_clients=2, min_beats=21),
            r"min_beats=21 needs 42 training beats.*; use more records",
        ),
        (Shards(), None),
        (
            Shards(num_clients=5, shards_per_client=5),
            r"shards_per_client=5 is more than the 20 .*num_clients=4$",
        ),
    ],
)
def test_too_many_clients_are_refused_with_a_remedy(partition, message):
    beats, split = make_beats(np.tile([0, 1], 20)), make_split(np.arange(20), [], np.arange(20, 40))
    if message is None:
        check_partition(partition.assign(beats, split, rng()), split)
        return
    with pytest.raises(ConfigError, match=message):
        partition.assign(beats, split, rng())
