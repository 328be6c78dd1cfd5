"""The skew of random partitions, and the assignment of validation and test beats."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from partitioning import all_for_training, counts_of, make_beats, make_split, rng

from ecgexp.data.partition.allocation import apportion, redraw
from ecgexp.data.partition.random import Dirichlet, Iid, QuantitySkew, Shards
from ecgexp.settings.declaration import ConfigError, build

FOUR_CLASSES = make_beats(np.repeat([0, 1, 2, 3], 500))


def shares_of(partition, beats, draws):
    """Return (draws, clients, classes): the share of each client in each class."""
    split = all_for_training(beats)
    counts = np.array(
        [counts_of(partition.assign(beats, split, rng(seed)).train, beats) for seed in range(draws)]
    )
    return counts / counts.sum(axis=1, keepdims=True)


def concentration(shares):
    """Return the mean sum of squared shares: 1 / clients if equal, 1 if one client has all."""
    return float((shares**2).sum(axis=1).mean())


@pytest.mark.parametrize(
    ("alpha", "expected"),
    # E[sum p_j²] of a symmetric Dirichlet over n = 5 is (alpha + 1) / (n alpha + 1).
    [(1000.0, 0.2002), (1.0, 2 / 6), (0.5, 1.5 / 3.5)],
)
def test_dirichlet_shares_have_the_variance_of_alpha(alpha, expected):
    shares = shares_of(Dirichlet(num_clients=5, alpha=alpha, min_beats=1), FOUR_CLASSES, draws=200)
    # 800 sums, the sum's standard deviation is below 0.15: five standard errors are 0.027.
    assert concentration(shares) == pytest.approx(expected, abs=0.027)
    np.testing.assert_allclose(
        shares.mean(axis=(0, 2)), 0.2, atol=0.06
    )  # no client has a larger mean
    apart = np.corrcoef(shares[:, :, 0].ravel(), shares[:, :, 1].ravel())[0, 1]
    assert abs(apart) < 0.16, "classes are drawn independently of each other"


def test_dirichlet_extremes_of_alpha_are_iid_and_few_classes():
    even = shares_of(Dirichlet(num_clients=5, alpha=1e6, min_beats=1), FOUR_CLASSES, draws=5)
    np.testing.assert_allclose(even, 0.2, atol=0.005)
    skewed = shares_of(Dirichlet(num_clients=5, alpha=0.05, min_beats=1), FOUR_CLASSES, draws=50)
    assert concentration(skewed) > 0.7
    assert (skewed == 0).mean() > 0.3


def test_iid_clients_have_equal_size_and_similar_classes():
    beats = make_beats(np.tile([0, 0, 0, 1], 1000))
    counts = counts_of(
        Iid(num_clients=7).assign(beats, all_for_training(beats), rng()).train, beats
    )
    assert set(counts.sum(axis=1)) == {571, 572}
    np.testing.assert_allclose(
        counts[:, 1] / counts.sum(axis=1), 0.25, atol=5 * np.sqrt(0.25 * 0.75 / 571)
    )
    assert len(set(counts[:, 1])) > 1, "drawn, not fixed"


@pytest.mark.parametrize(("alpha", "low", "high"), [(1000.0, 1.0, 1.3), (0.5, 5.0, np.inf)])
def test_quantity_skew_changes_sizes_but_not_class_proportions(alpha, low, high):
    beats = make_beats(np.repeat([0, 1, 2], [6000, 900, 100]), classes=("N", "S", "V"))
    partition = QuantitySkew(num_clients=8, alpha=alpha, min_beats=20)
    for seed in range(5):
        counts = counts_of(partition.assign(beats, all_for_training(beats), rng(seed)).train, beats)
        sizes = counts.sum(axis=1)
        assert sizes.min() >= 20
        assert low <= sizes.max() / sizes.min() <= high
        exact = counts[:, 0] / 6000  # the share of every class, up to one beat
        assert (np.abs(counts - exact[:, None] * [6000, 900, 100]) <= 1.2).all()


def test_shards_of_aligned_classes_give_at_most_two_labels():
    beats = make_beats(np.repeat(range(10), 60), classes=tuple("abcdefghij"))
    for seed in range(20):
        counts = counts_of(
            Shards(num_clients=10).assign(beats, all_for_training(beats), rng(seed)).train, beats
        )
        assert (counts.sum(axis=1) == 60).all()
        assert (counts > 0).sum(axis=1).max() == 2, "two shards, mostly not adjacent"
        assert set(counts[counts > 0].tolist()) <= {30, 60}


@given(
    sizes=st.lists(st.integers(0, 80), min_size=4, max_size=4).filter(
        lambda sizes: sum(sizes) >= 24
    ),
    shards=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_shard_across_the_end_of_a_class_adds_a_label(sizes, shards, seed):
    beats = make_beats(np.repeat(range(4), sizes))
    clients = Shards(num_clients=8, shards_per_client=shards).assign(
        beats, all_for_training(beats), rng(seed)
    )
    counts = counts_of(clients.train, beats)
    extra = (counts > 0).sum(axis=1) - shards
    assert np.maximum(extra, 0).sum() <= 3, "four classes have three ends"
    assert np.ptp(counts.sum(axis=1)) <= shards


def test_shard_of_one_class_has_beats_of_all_patients():
    beats = make_beats(np.zeros(400), records=np.repeat(list("abcd"), 100))
    clients = Shards(num_clients=4, shards_per_client=1).assign(
        beats, all_for_training(beats), rng()
    )
    assert all(len(set(beats.record_ids[rows])) == 4 for rows in clients.train.values())


@pytest.mark.parametrize(
    "partition",
    [
        Iid(num_clients=6),
        Dirichlet(num_clients=6),
        Shards(num_clients=6),
        QuantitySkew(num_clients=6),
    ],
    ids=lambda partition: type(partition).__name__,
)
def test_holdout_beats_have_the_class_shares_of_training_beats(
    partition,
):
    labels = rng(5).choice(3, 3000, p=[0.8, 0.15, 0.05])
    beats = make_beats(labels, classes=("N", "S", "V"))
    split = make_split(np.arange(1500), np.arange(1500, 2000), np.arange(2000, 3000))
    clients = partition.assign(beats, split, rng(3))
    train = counts_of(clients.train, beats)
    for part, rows in ((clients.validation, split.validation), (clients.test, split.test)):
        assigned = counts_of(
            {client: part.get(client, np.zeros(0, np.int64)) for client in clients.train}, beats
        )
        exact = train / train.sum(axis=0) * np.bincount(labels[rows], minlength=3)
        assert (np.abs(assigned - exact) < 1).all()
        assert (assigned[train == 0] == 0).all()


def test_class_without_training_beats_follows_client_sizes():
    beats = make_beats([0] * 1000 + [1] * 1000)
    split = make_split(np.arange(1000), [], np.arange(1000, 2000))
    clients = QuantitySkew(num_clients=4, alpha=1.0).assign(beats, split, rng(2))
    for client, rows in clients.train.items():
        assert abs(len(clients.test.get(client, ())) - len(rows)) <= 1


def test_holdout_beats_of_a_client_are_drawn():
    beats = make_beats(np.zeros(400))
    clients = Iid(num_clients=2).assign(
        beats, make_split(np.arange(200), [], np.arange(200, 400)), rng()
    )
    early = (clients.test["client00"] < 300).sum()
    assert abs(early - 50) < 18, "100 of 200 beats, half of them early; five standard deviations"


@given(
    totals=st.lists(st.integers(0, 10_000), min_size=2, max_size=2),
    shares=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20),
    seed=st.integers(0, 9),
)
def test_apportioned_counts_add_up_and_are_rounded_shares(totals, shares, seed):
    shares = np.array(shares) + np.array([[1e-3, 0.0]])
    shares[0, 1] += 1e-3
    counts = apportion(np.array(totals), shares, rng(seed))
    assert counts.sum(axis=0).tolist() == totals
    assert (np.abs(counts - shares / shares.sum(axis=0) * totals) < 1 + 1e-6).all()
    assert (counts[shares == 0] == 0).all()


def test_apportioned_counts_have_the_shares_as_expectation():
    shares, source = np.array([[0.1], [0.2], [0.7]]), rng(1)
    mean = np.mean([apportion(np.array([1]), shares, source) for _ in range(4000)], axis=0)
    np.testing.assert_allclose(mean, shares, atol=5 * np.sqrt(0.25 / 4000))


def test_draw_too_small_for_a_client_is_rejected():
    draws = iter(
        [np.array([[9, 0], [1, 1]]), np.array([[8, 0], [1, 2]]), np.array([[5, 0], [4, 2]])]
    )
    kept = redraw(lambda: next(draws), num_clients=2, alpha=1.0, min_beats=3)
    assert kept.tolist() == [[8, 0], [1, 2]]


def test_remedy_works_when_no_draw_is_sufficient():
    partition = Dirichlet(num_clients=12, alpha=0.05, min_beats=150)
    with pytest.raises(
        ConfigError,
        match=r"partition\.alpha=0\.05: none of 10000 draws .* partition\.min_beats=150",
    ) as caught:
        partition.assign(FOUR_CLASSES, all_for_training(FOUR_CLASSES), rng(4))
    min_beats = int(re.search(r"use partition\.min_beats=(\d+),", str(caught.value))[1])
    again = Dirichlet(num_clients=12, alpha=0.05, min_beats=min_beats)
    clients = again.assign(FOUR_CLASSES, all_for_training(FOUR_CLASSES), rng(4))
    assert min(map(len, clients.train.values())) == min_beats
    assert re.search(
        r"partition\.alpha=1 for a smaller skew, or partition\.num_clients=6$", str(caught.value)
    )


@pytest.mark.parametrize("kind", [Dirichlet, QuantitySkew])
def test_extremes_of_alpha_are_handled(kind):
    even = counts_of(
        kind(alpha=1e6).assign(FOUR_CLASSES, all_for_training(FOUR_CLASSES), rng()).train,
        FOUR_CLASSES,
    )
    assert np.ptp(even) <= 4
    with pytest.raises(
        ConfigError, match=r"none of 10000 draws .* use partition\.alpha=1 for a smaller skew"
    ):
        kind(alpha=1e-3).assign(FOUR_CLASSES, all_for_training(FOUR_CLASSES), rng())


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Dirichlet, {"alpha": 0}, r"partition\.alpha=0 is not usable"),
        (Dirichlet, {"alpha": float("nan")}, r"partition\.alpha=nan is not usable"),
        (Dirichlet, {"alpha": float("inf")}, r"partition\.alpha=inf is not usable"),
        (Dirichlet, {"min_beats": 0}, r"partition\.min_beats=0 is not usable"),
        (
            Dirichlet,
            {"alhpa": 1},
            r"partition\.alhpa is not a setting; did you mean partition\.alpha\?",
        ),
        (Iid, {"num_clients": 0}, r"partition\.num_clients=0 is not usable"),
        (Shards, {"shards_per_client": -1}, r"partition\.shards_per_client=-1 is not usable"),
        (QuantitySkew, {"num_clients": 2.5}, r"partition\.num_clients=2\.5 is not usable"),
    ],
)
def test_values_out_of_range_are_refused(kind, values, message):
    with pytest.raises(ConfigError, match=message):
        build(kind, values, path="partition")
