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

    @property
    def features(self) -> frozenset[str]:
        """See the class."""

    @property
    def num_views(self) -> int:
        """See the class."""

    def expand(self, labels: np.ndarray, class_names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The (row, view) pairs that make one epoch.

        A view is no new beat: whatever guards identity or privacy counts rows, and all views of a row are that row.

        Args:
          labels: (num_rows,) int, class indices.
          class_names: in the order of the labels.

        Returns:
          rows: (num_pairs,) int64 indices into `labels`, ascending.
          views: (num_pairs,) int32; 0 is the beat itself.
        """

    def build(self) -> AugmentFn:
        """The function that augments a batch; imports TensorFlow.

        It can be compiled into a graph and keeps no state: what it does to an example depends on that example, its
        view, its place in the batch and the seed, and on no other example. So a resumed run repeats it bit for bit, and
        an example's gradient remains its own under differential privacy.

        The function takes
          features: name -> (batch, ...) float32; `image` (batch, height, width, 1) in [0, 1] with white 1, `signal`
            (batch, window, leads); others pass through unchanged.
          views: (batch,) int32.
          seed: (2,) int32; a fresh one for each step.
        and returns features of the same names, shapes and types.
        """


def one_view_each(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of an epoch that shows every beat once."""
    return np.arange(len(labels), dtype=np.int64), np.zeros(len(labels), np.int32)
