"""What every augmentation is, and the views that one epoch shows of each beat."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

# (features, views, seed) -> features, on a batch of tensors; see `Augmentation.build`.
AugmentFn = Callable[[dict[str, Any], Any, Any], dict[str, Any]]


@runtime_checkable
class Augmentation(Protocol):
    """Changes training beats at random, or shows several views of them.

    Attributes:
      name: how it is called in messages, e.g. `"crops9"`.
      features: the features it changes; an input that makes others cannot be augmented by it.
      num_views: views that `expand` shows of a beat at most, view 0 included.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    @property
    def features(self) -> frozenset[str]:
        """See the class."""
        ...

    @property
    def num_views(self) -> int:
        """See the class."""
        ...

    def expand(
        self, labels: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The (row, view) pairs that make one epoch.

        A view is no new beat: whatever guards identity or privacy counts rows, and all views of a
        row are that row.

        Args:
          labels: (num_rows,) int, class indices.
          class_names: in the order of the labels.

        Returns:
          rows: (num_pairs,) int64 indices into `labels`, ascending.
          views: (num_pairs,) int32; 0 is the beat itself.
        """
        ...

    def build(self) -> AugmentFn:
        """The function that augments a batch; imports TensorFlow.

        It can be compiled into a graph and keeps no state: what it does to an example depends on
        that example, its view, its place in the batch and the seed, and on no other example. So a
        resumed run repeats it bit for bit, and an example's gradient remains its own under
        differential privacy.

        The function takes

        - features: name -> (batch, ...) float32; `image` (batch, height, width, 1) in [0, 1] with
          white 1, `signal` (batch, window, leads); others pass through unchanged.
        - views: (batch,) int32.
        - seed: (2,) int32; a fresh one for each step.

        and returns features of the same names, shapes and types.
        """
        ...


def views_by_label(
    augmentation: Augmentation, labels: np.ndarray, class_names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of `augmentation.expand`, called for one row of each class.

    So the views of a row do not depend on other rows.

    Args:
      augmentation: whose `expand` may be anybody's.
      labels: (num_rows,) int, class indices.
      class_names: in the order of the labels.

    Returns:
      See `Augmentation.expand`.
    """
    found = {
        label: augmentation.expand(np.array([label]), class_names)[1]
        for label in np.unique(labels).tolist()
    }
    own = [found[label] for label in np.asarray(labels).tolist()]
    rows = np.repeat(np.arange(len(own), dtype=np.int64), [len(views) for views in own])
    return rows, np.concatenate(own).astype(np.int32) if own else np.zeros(0, np.int32)


def keeps_rows_apart(augmentation: Any) -> bool:
    """Return whether a row of a batch never changes another one: known of this package's only."""
    steps = getattr(augmentation, "steps", ())
    return type(augmentation).__module__.startswith("ecgexp.") and all(map(keeps_rows_apart, steps))


def row_by_row(augment: AugmentFn) -> AugmentFn:
    """Apply `augment` to one row at a time, each with its own seed, so that rows cannot mix."""
    import tensorflow as tf

    def augment_one(values: tuple[dict[str, Any], Any, Any]) -> dict[str, Any]:
        features, view, seed = values
        found = augment(
            {name: value[tf.newaxis] for name, value in features.items()}, view[tf.newaxis], seed
        )
        return {name: value[0] for name, value in found.items()}

    def augment_all(features: dict[str, Any], views: Any, seed: Any) -> dict[str, Any]:
        seeds = tf.random.experimental.stateless_split(seed, tf.shape(views)[0])
        specs = {
            name: tf.TensorSpec(value.shape[1:], value.dtype) for name, value in features.items()
        }
        return tf.map_fn(augment_one, (dict(features), views, seeds), fn_output_signature=specs)

    return augment_all


def one_view_each(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of an epoch that shows every beat once."""
    return np.arange(len(labels), dtype=np.int64), np.zeros(len(labels), np.int32)
