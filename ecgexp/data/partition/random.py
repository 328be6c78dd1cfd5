"""Partitions drawn at random: alike, skewed in labels, or skewed in size.

Clients are `client00`, `client01`, …, and all have training beats. Held-out beats are dealt so that of each class a client
gets the share that it has of the class's training beats: it is tested on what it is like (see `shares.assign_like`).
"""

from collections.abc import Callable
from typing import Annotated

import numpy as np
from pydantic import Field

from ecgexp.data.beats import BeatSet
from ecgexp.data.partition.allocation import (
    apportion,
    assign_like,
    class_totals,
    cut_by_class,
    redraw,
)
from ecgexp.data.partition.base import ClientPartition
from ecgexp.data.splits import Split
from ecgexp.settings.declaration import ConfigError, Count, Number, settings

# Beyond these the draw is numerically "one client takes all" or "all alike", and numpy's gammas under- or overflow.
Concentration = Annotated[Number, Field(ge=1e-3, le=1e6)]


@settings
class Iid:
    """Every client gets the same number of beats, drawn from all alike; sizes differ by one at most.

    Attributes:
      num_clients: how many.
    """

    num_clients: Count = 10

    def assign(self, beats: BeatSet, split: Split, rng: np.random.Generator) -> ClientPartition:
        """Deals.

        Raises:
          ConfigError: more clients than training beats.
        """
        _check_enough(len(split.train), self.num_clients)
        train = np.array_split(rng.permutation(split.train), self.num_clients)
        return assign_like(train, beats, split, rng)


@settings
class Dirichlet:
    """Label skew: each class is shared out among the clients by a draw of its own from a Dirichlet distribution.

    It is the draw of Yurochkin et al. 2019 (Bayesian Nonparametric Federated Learning of Neural Networks, section 4): of
    class k, client j gets the share p_kj of (p_k1, …, p_kn) ~ Dirichlet(alpha). Hsu et al. 2019 draw the other way round, each
    client's mix of classes, with clients of equal size; that cannot use every beat when classes are as uneven as heartbeats.

    A draw that leaves some client fewer than `min_beats` is thrown away whole and all classes are drawn anew. So deals follow
    the distribution above conditioned on no client being that small: for small `alpha` and many clients, a milder
    skew than `alpha` alone would make. Clients that are full are not passed over within a draw, as some implementations
    do to balance sizes, which leaves a distribution that nobody can name.

    Attributes:
      num_clients: how many.
      alpha: concentration: 100 is nearly iid; 0.5 is skewed; with 0.1 a client misses most classes.
      min_beats: the fewest training beats of any client.
    """

    num_clients: Count = 10
    alpha: Concentration = 0.5
    min_beats: Count = 10

    def assign(self, beats: BeatSet, split: Split, rng: np.random.Generator) -> ClientPartition:
        """Deals.

        Raises:
          ConfigError: too few training beats for the clients, or no draw gave every client enough.
        """

        def shares(num_classes: int) -> np.ndarray:
            return rng.dirichlet([self.alpha] * self.num_clients, size=num_classes).T

        return _assign_in_shares(self, shares, beats, split, rng)


@settings
class Shards:
    """Few labels a client: beats sorted by label are cut into equal shards, and each client is dealt some at random.

    After McMahan et al. 2017 (Communication-Efficient Learning of Deep Networks from Decentralized Data, section 3). Beats
    of one label are shuffled before the cut, since in file order a shard would be a patient as well. A shard that lies across
    the end of a class has several labels; of the commonest class there are many shards, so with heartbeats
    most clients hold N alone.

    Attributes:
      num_clients: how many.
      shards_per_client: how many each is dealt.
    """

    num_clients: Count = 10
    shards_per_client: Count = 2

    def assign(self, beats: BeatSet, split: Split, rng: np.random.Generator) -> ClientPartition:
        """Deals.

        Raises:
          ConfigError: more shards than training beats.
        """
        num_shards = self.num_clients * self.shards_per_client
        if num_shards > len(split.train):
            raise ConfigError(
                f"partition.num_clients={self.num_clients} times partition.shards_per_client={self.shards_per_client} is more "
                f"than the {len(split.train)} training beats; {_fewer(len(split.train) // self.shards_per_client)}"
            )
        shuffled = rng.permutation(split.train)
        shards = np.array_split(
            shuffled[np.argsort(beats.labels[shuffled], kind="stable")], num_shards
        )
        hands = rng.permutation(num_shards).reshape(self.num_clients, self.shards_per_client)
        return assign_like(
            [np.concatenate([shards[i] for i in hand]) for hand in hands], beats, split, rng
        )


@settings
class QuantitySkew:
    """Clients of unequal size and the same mix of classes: sizes are shares drawn from a Dirichlet distribution.

    After Li et al. 2022 (Federated Learning on Non-IID Data Silos, quantity skew). Every class is shared out alike, up to
    rounding. Draws that leave a client fewer than `min_beats` are thrown away, as in `Dirichlet`.

    Attributes:
      num_clients: how many.
      alpha: concentration: 100 is nearly even; with 0.5 the largest client is many times the smallest.
      min_beats: the fewest training beats of any client.
    """

    num_clients: Count = 10
    alpha: Concentration = 0.5
    min_beats: Count = 10

    def assign(self, beats: BeatSet, split: Split, rng: np.random.Generator) -> ClientPartition:
        """Deals.

        Raises:
          ConfigError: too few training beats for the clients, or no draw gave every client enough.
        """

        def shares(num_classes: int) -> np.ndarray:
            return np.tile(rng.dirichlet([self.alpha] * self.num_clients)[:, None], num_classes)

        return _assign_in_shares(self, shares, beats, split, rng)


def _assign_in_shares(
    partition: Dirichlet | QuantitySkew, shares: Callable[[int], np.ndarray], beats: BeatSet, split: Split,
    rng: np.random.Generator,
) -> ClientPartition:  # fmt: skip
    """Deals by `shares(num_classes)` (num_clients, num_classes), drawn anew until every client has enough."""
    _check_enough(len(split.train), partition.num_clients, partition.min_beats)
    totals = class_totals(beats, split.train)
    counts = redraw(
        lambda: apportion(totals, shares(len(totals)), rng), num_clients=partition.num_clients, alpha=partition.alpha,
        min_beats=partition.min_beats,
    )  # fmt: skip
    return assign_like(cut_by_class(beats.labels, split.train, counts, rng), beats, split, rng)


def _check_enough(num_beats: int, num_clients: int, min_beats: int = 1) -> None:
    if num_clients * min_beats <= num_beats:
        return
    each = f" with partition.min_beats={min_beats}" if min_beats > 1 else ""
    most = num_beats // min_beats
    # Clients of unequal size: that each has exactly the fewest beats would never be drawn.
    some = most if min_beats == 1 else max(min(1, most), most // 4)
    raise ConfigError(
        f"partition.num_clients={num_clients}{each} needs {num_clients * min_beats} training beats and there are "
        f"{num_beats}; {_fewer(some)}"
    )


def _fewer(num_clients: int) -> str:
    return f"type partition.num_clients={num_clients}" if num_clients else "take more records"
