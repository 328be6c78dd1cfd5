"""The batches of one client in one round, as a dataset that TFF can run on any runtime."""

import collections
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ecgexp.seeding import Seeds
from ecgexp.training.base import TrainingData


class ClientBatches:
    """Makes the dataset of one client in one round.

    Its content depends on the seed, the client and the round, and on nothing else.

    Args:
      data: the beats, and the rows of each client.
      augmentation: the views of a client's beats in one epoch.
      client_ids: in the order in which clients are numbered.
      client_epochs: passes of a client over its beats in one round.
      batch_size: rows of a batch; the last batch of a pass may be smaller.
      seeds: the random streams of the run.
    """

    def __init__(
        self,
        data: TrainingData,
        augmentation: Any,
        client_ids: Sequence[str],
        *,
        client_epochs: int,
        batch_size: int,
        seeds: Seeds,
    ):
        self._data, self._seeds = data, seeds
        self._client_ids, self._epochs, self._batch_size = (
            tuple(client_ids),
            client_epochs,
            batch_size,
        )
        self._views = {}
        for client_id in self._client_ids:
            rows = data.clients[client_id]
            positions, views = augmentation.expand(data.labels[rows], data.class_names)
            self._views[client_id] = rows[positions], views.astype(np.int32)

    @property
    def spec(self) -> Any:
        """Specification of a batch.

        `x` holds the features, `y` the labels of the loss, `view` the views, all (batch, ...);
        `seed` (2,) and `client` () are int32.
        """
        labels = self._data.loss_labels
        return collections.OrderedDict(
            x=collections.OrderedDict(
                (name, tf.TensorSpec([None, *array.shape[1:]], tf.as_dtype(array.dtype)))
                for name, array in sorted(self._data.features.items())
            ),
            y=tf.TensorSpec([None, *labels.shape[1:]], tf.as_dtype(labels.dtype)),
            view=tf.TensorSpec([None], tf.int32),
            seed=tf.TensorSpec([2], tf.int32),
            client=tf.TensorSpec([], tf.int32),
        )

    def dataset(self, client_id: str, round_num: int) -> tf.data.Dataset:
        """Return all batches of one client in one round; every pass has its own order.

        Args:
          client_id: the client.
          round_num: 1-based.

        Returns:
          A dataset of batches as `spec` describes them.
        """
        rng = self._seeds.generator(f"client/{client_id}/{round_num}")
        rows, views = self._views[client_id]
        orders = [rng.permutation(len(rows)) for _ in range(self._epochs)]
        full = len(rows) // self._batch_size * self._batch_size
        whole = [order[:full].reshape(-1, self._batch_size) for order in orders]
        client = self._client_ids.index(client_id)
        parts = []
        for order, grid in zip(orders, whole, strict=True):
            parts += [self._slices(rows, views, grid, client, rng)] if full else []
            parts += (
                [self._slices(rows, views, order[None, full:], client, rng)]
                if full < len(order)
                else []
            )
        dataset = parts[0]
        for part in parts[1:]:
            dataset = dataset.concatenate(part)
        # If all batches have one length, the type of the dataset contains it, but TFF's functions
        # are traced for any length.
        return tf.data.experimental.from_variant(
            tf.data.experimental.to_variant(dataset), self.spec
        )

    def _slices(
        self,
        rows: np.ndarray,
        views: np.ndarray,
        places: np.ndarray,
        client: int,
        rng: np.random.Generator,
    ) -> tf.data.Dataset:
        """Return the rows at `places`, (batches, batch), as a dataset of batches."""
        taken = rows[places]
        values = collections.OrderedDict(
            x=collections.OrderedDict(
                (name, array[taken]) for name, array in sorted(self._data.features.items())
            ),
            y=self._data.loss_labels[taken],
            view=views[places],
            seed=rng.integers(0, 2**31 - 1, (len(places), 2), np.int32),
            client=np.full(len(places), client, np.int32),
        )
        return tf.data.Dataset.from_tensor_slices(values)
