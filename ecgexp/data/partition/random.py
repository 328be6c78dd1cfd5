"""Random partitions: independent and identically distributed, label skew, or quantity skew.

Clients are `client00`, `client01`, …, and all have training beats. Validation and test beats of
each class are assigned in the proportions of the training beats, so that a client is tested on its
own distribution of classes (see `allocation.assign_like`).
"""

from collections.abc import Callable
from typing import Annotated, ClassVar

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
from ecgexp.data.splits.base import Split
from ecgexp.settings.declaration import ConfigError, Count, Number, settings

# Beyond these values, one client gets all beats or all get the same share numerically, and numpy's
# gamma variates under- or overflow.
Concentration = Annotated[Number, Field(ge=1e-3, le=1e6)]


@settings
class Iid:
    """Independent and identically distributed: beats are drawn for clients of equal size.

    Sizes differ by one at most.

    Attributes:
      num_clients: Number of clients.

    Example:
      >>> Iid(num_clients=10).is_pooled
      False
    """

    num_clients: Count = 10

    is_pooled: ClassVar[bool] = False

    def assign(self, beats: BeatSet, split: Split, rng: np.random.Generator) -> ClientPartition:
        """Assign the beats; see `Partition.assign`.

        Raises:
          ConfigError: There are more clients than training beats.
        """
        _check_enough(len(split.train), self.num_clients)
        train = np.array_split(rng.permutation(split.train), self.num_clients)
        return assign_like(train, beats, split, rng)


@settings
class Dirichlet:
    """Label skew: the shares of the clients in each class are drawn from a Dirichlet distribution.

    The draw is that of Yurochkin et al. 2019 (Bayesian Nonparametric Federated Learning of Neural
    Networks, section 4): of class k, client j gets the share p_kj of
    (p_k1, …, p_kn) ~ Dirichlet(alpha). Hsu et al. 2019 instead draw the class proportions of each
    client, with clients of equal size; this cannot use all beats when classes are as imbalanced as
    those of heartbeats.

    A draw in which a client has fewer than `min_beats` is rejected; all classes are drawn again.
    Partitions therefore follow the distribution above conditioned on the size of every client; with
    a small `alpha` and many clients, the skew is smaller than without the condition. Some
    implementations instead skip full clients within a draw to balance sizes, which does not result
    in a known distribution.

    Attributes:
      num_clients: Number of clients.
      alpha: Concentration: 100 is nearly iid; 0.5 is skewed; with 0.1 a client misses most classes.
      min_beats: Minimum number of training beats of a client.

    Example:
      >>> Dirichlet(num_clients=10, alpha=0.1).is_pooled
      False
    """

    num_clients: Count = 10
    alpha: Concentration = 0.5
    min_beats: Count = 10

    is_pooled: ClassVar[bool] = False

    def assign(self, beats: BeatSet, split: Split, rng: np.random.Generator) -> ClientPartition:
        """Assign the beats; see `Partition.assign`.

        Raises:
          ConfigError: There are too few training beats for the clients, or no draw gave every
            client enough.
        """

        def shares(num_classes: int) -> np.ndarray:
            return rng.dirichlet([self.alpha] * self.num_clients, size=num_classes).T

        return _assign_in_shares(self, shares, beats, split, rng)


@settings
class Shards:
    """Few labels per client: beats sorted by label are cut into shards, assigned at random.

    After McMahan et al. 2017 (Communication-Efficient Learning of Deep Networks from Decentralized
    Data, section 3). Beats of one label are shuffled before they are cut; in file order, a shard
    would also be a patient. A shard across the end of a class has several labels. The most frequent
    class has many shards, so that with heartbeats most clients have only N beats.

    Attributes:
      num_clients: Number of clients.
      shards_per_client: Number of shards of each client.

    Example:
      >>> Shards(num_clients=10, shards_per_client=2).is_pooled
      False
    """

    num_clients: Count = 10
    shards_per_client: Count = 2

    is_pooled: ClassVar[bool] = False

    def assign(self, beats: BeatSet, split: Split, rng: np.random.Generator) -> ClientPartition:
        """Assign the beats; see `Partition.assign`.

        Raises:
          ConfigError: There are more shards than training beats.
        """
        num_shards = self.num_clients * self.shards_per_client
        if num_shards > len(split.train):
            raise ConfigError(
                f"partition.num_clients={self.num_clients} times "
                f"partition.shards_per_client={self.shards_per_client} is more than the "
                f"{len(split.train)} training beats; "
                f"{_fewer(len(split.train) // self.shards_per_client)}"
            )
        shuffled = rng.permutation(split.train)
        shards = np.array_split(
            shuffled[np.argsort(beats.labels[shuffled], kind="stable")], num_shards
        )
        assigned = rng.permutation(num_shards).reshape(self.num_clients, self.shards_per_client)
        return assign_like(
            [np.concatenate([shards[i] for i in of_client]) for of_client in assigned],
            beats,
            split,
            rng,
        )


@settings
class QuantitySkew:
    """Quantity skew: clients of different sizes, drawn from a Dirichlet distribution.

    After Li et al. 2022 (Federated Learning on Non-IID Data Silos, quantity skew). All clients have
    the same class proportions, up to rounding. Draws in which a client has fewer than `min_beats`
    are rejected, as in `Dirichlet`.

    Attributes:
      num_clients: Number of clients.
      alpha: Concentration: with 100 sizes are nearly equal; with 0.5 the largest client is many
        times the smallest.
      min_beats: Minimum number of training beats of a client.

    Example:
      >>> QuantitySkew(num_clients=10, alpha=0.5).is_pooled
      False
    """

    num_clients: Count = 10
    alpha: Concentration = 0.5
    min_beats: Count = 10

    is_pooled: ClassVar[bool] = False

    def assign(self, beats: BeatSet, split: Split, rng: np.random.Generator) -> ClientPartition:
        """Assign the beats; see `Partition.assign`.

        Raises:
          ConfigError: There are too few training beats for the clients, or no draw gave every
            client enough.
        """

        def shares(num_classes: int) -> np.ndarray:
            return np.tile(rng.dirichlet([self.alpha] * self.num_clients)[:, None], num_classes)

        return _assign_in_shares(self, shares, beats, split, rng)


def _assign_in_shares(
    partition: Dirichlet | QuantitySkew,
    shares: Callable[[int], np.ndarray],
    beats: BeatSet,
    split: Split,
    rng: np.random.Generator,
) -> ClientPartition:
    """Draw `shares(num_classes)`, (num_clients, num_classes), until every client has enough."""
    _check_enough(len(split.train), partition.num_clients, partition.min_beats)
    totals = class_totals(beats, split.train)
    counts = redraw(
        lambda: apportion(totals, shares(len(totals)), rng),
        num_clients=partition.num_clients,
        alpha=partition.alpha,
        min_beats=partition.min_beats,
    )
    return assign_like(cut_by_class(beats.labels, split.train, counts, rng), beats, split, rng)


def _check_enough(num_beats: int, num_clients: int, min_beats: int = 1) -> None:
    if num_clients * min_beats <= num_beats:
        return
    each = f" with partition.min_beats={min_beats}" if min_beats > 1 else ""
    most = num_beats // min_beats
    # Clients differ in size, so that a draw with exactly `min_beats` for each is too unlikely.
    some = most if min_beats == 1 else max(min(1, most), most // 4)
    raise ConfigError(
        f"partition.num_clients={num_clients}{each} needs {num_clients * min_beats} training "
        f"beats, but there are {num_beats}; {_fewer(some)}"
    )


def _fewer(num_clients: int) -> str:
    return f"use partition.num_clients={num_clients}" if num_clients else "use more records"
