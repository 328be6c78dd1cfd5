"""A forest of trees as arrays: converted from scikit-learn, checked, and computed by NumPy.

The arrays of all trees are concatenated. A node's left child is the next node, which is the order
in which scikit-learn grows a tree depth first, so that only the right child is stored; a child
always comes after its parent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgexp.models.damaged import FIX
from ecgexp.settings.declaration import DataError

ARRAYS = ("roots", "features", "thresholds", "right", "leaves")
"""Names of the arrays, in the order of `Forest.arrays`."""

_ROWS_AT_ONCE = 512
_LEAF = -1


@dataclass(frozen=True, kw_only=True)
class Forest:
    """The trees of a forest.

    Attributes:
      roots: (num_trees,) int32, ascending, the first node of each tree.
      features: (num_nodes,) int16, the column that a node compares; -1 for a leaf.
      thresholds: (num_nodes,) float32; rows up to it, it included, go to the next node, others to
        `right`.
      right: (num_nodes,) int32, the right child; for a leaf its row of `leaves`.
      leaves: (num_leaves, num_classes) float32, the probabilities of each leaf.
    """

    roots: np.ndarray
    features: np.ndarray
    thresholds: np.ndarray
    right: np.ndarray
    leaves: np.ndarray

    @property
    def arrays(self) -> list[np.ndarray]:
        """The arrays in the order of `ARRAYS`."""
        return [self.roots, self.features, self.thresholds, self.right, self.leaves]

    @classmethod
    def of_sklearn(
        cls, estimators: Sequence[Any], classes: np.ndarray, num_classes: int
    ) -> "Forest":
        """Convert the trees of a fitted scikit-learn forest.

        Args:
          estimators: its `estimators_`.
          classes: its `classes_`, (num_trained,) int64, without classes that have no training beat.
          num_classes: columns of the probabilities.
        """
        parts, first_node, first_leaf = [], 0, 0
        for tree in (estimator.tree_ for estimator in estimators):
            is_leaf = tree.children_left == _LEAF
            inner = np.flatnonzero(~is_leaf)
            if not np.array_equal(tree.children_left[inner], inner + 1):
                raise ValueError("a tree is not stored depth first; use max_leaf_nodes=None")
            right = np.where(
                is_leaf, first_leaf + np.cumsum(is_leaf) - 1, first_node + tree.children_right
            )
            leaves = np.zeros((int(is_leaf.sum()), num_classes), np.float32)
            leaves[:, classes] = tree.value[is_leaf, 0]
            parts.append(
                (
                    np.array([first_node]),
                    np.where(is_leaf, _LEAF, tree.feature),
                    np.where(is_leaf, 0, _rounded_down(tree.threshold)),
                    right,
                    leaves,
                )
            )
            first_node, first_leaf = first_node + len(right), first_leaf + len(leaves)
        types = (np.int32, np.int16, np.float32, np.int32, np.float32)
        columns = zip(zip(*parts, strict=True), types, strict=True)
        return cls(
            **{
                name: np.concatenate(column).astype(kind)
                for name, (column, kind) in zip(ARRAYS, columns, strict=True)
            }
        )

    @classmethod
    def of_arrays(cls, arrays: Sequence[np.ndarray]) -> "Forest":
        """Return the forest of `arrays`, which are not checked."""
        return cls(**dict(zip(ARRAYS, arrays, strict=True)))

    def check(self, num_features: int, num_classes: int) -> None:
        """Check a forest of which nothing is known.

        **Guarantees**: `leaf_rows` of a forest that passes reads within its arrays and ends, since
        every child comes after its parent, within its tree (`tests/unit/models/test_forest.py`).

        Args:
          num_features: columns of the rows that it will get.
          num_classes: columns of its probabilities.

        Raises:
          DataError: it is no forest of that shape.
        """
        types = (np.int32, np.int16, np.float32, np.int32, np.float32)
        for name, array, kind in zip(ARRAYS, self.arrays, types, strict=True):
            dimensions = 2 if name == "leaves" else 1
            if array.dtype != kind or array.ndim != dimensions or not len(array):
                raise _refused(f"{name} is {array.dtype} of the shape {array.shape}")
        nodes = len(self.features)
        if not len(self.thresholds) == len(self.right) == nodes:
            raise _refused("its arrays have different numbers of nodes")
        if self.leaves.shape[1] != num_classes:
            raise _refused(f"its leaves have {self.leaves.shape[1]} classes, not {num_classes}")
        if self.roots[0] != 0 or np.any(np.diff(self.roots) < 1) or self.roots[-1] >= nodes:
            raise _refused("its roots are not the first nodes of trees")
        if self.features.min() < _LEAF or self.features.max() >= num_features:
            raise _refused(f"a node compares a feature beyond the {num_features}")
        is_leaf = self.features == _LEAF
        bounds = np.append(self.roots[1:], nodes)
        ends = bounds[np.searchsorted(self.roots, np.arange(nodes), side="right") - 1]
        inner = np.flatnonzero(~is_leaf)
        if np.any(self.right[inner] <= inner + 1) or np.any(self.right[inner] >= ends[inner]):
            raise _refused("a node has a child outside of its tree")
        if np.any(self.right[is_leaf] < 0) or np.any(self.right[is_leaf] >= len(self.leaves)):
            raise _refused("a leaf has no probabilities")
        if not np.isfinite(self.thresholds).all():
            raise _refused("a threshold is NaN or infinite")
        sums = self.leaves.astype(np.float64).sum(axis=1)
        if not (self.leaves >= 0).all() or not np.allclose(sums, 1, atol=1e-5):
            raise _refused("the probabilities of a leaf do not sum to 1")

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Return the mean probabilities of all trees.

        Args:
          rows: (num_rows, num_features) float32, finite.

        Returns:
          (num_rows, num_classes) float64, rows summing to 1; as scikit-learn computes them, but for
          the rounding of the leaves to float32.
        """
        found = np.empty((len(rows), self.leaves.shape[1]))
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            leaves = self.leaves[self.leaf_rows(rows[part])]
            found[part] = leaves.mean(axis=1, dtype=np.float64)
        return found / found.sum(axis=1, keepdims=True)

    def leaf_rows(self, rows: np.ndarray) -> np.ndarray:
        """Return the row of `leaves` that each tree assigns to each row.

        Args:
          rows: (num_rows, num_features) float32.

        Returns:
          (num_rows, num_trees) int32.
        """
        num_rows, num_features = rows.shape
        values = np.ascontiguousarray(rows, np.float32).ravel()
        nodes = np.tile(self.roots, num_rows)
        starts = np.repeat(np.arange(num_rows) * num_features, len(self.roots))
        active = np.arange(len(nodes))
        while len(active):
            at = nodes[active]
            columns = self.features[at]
            is_inner = columns != _LEAF
            active, at, columns = active[is_inner], at[is_inner], columns[is_inner]
            goes_left = values[starts[active] + columns] <= self.thresholds[at]
            nodes[active] = np.where(goes_left, at + 1, self.right[at])
        return self.right[nodes].reshape(num_rows, -1)


def _rounded_down(thresholds: np.ndarray) -> np.ndarray:
    """Return the largest float32 up to each threshold: float32 rows compare with both alike."""
    near = thresholds.astype(np.float32)
    return np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near)


def _refused(why: str) -> DataError:
    return DataError(f"the weights of the model are no forest of trees: {why}; {FIX}")
