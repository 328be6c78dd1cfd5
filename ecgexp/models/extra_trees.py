"""Extremely randomized trees (Geurts, Ernst & Wehenkel 2006, doi:10.1007/s10994-006-6226-1).

Thresholds are drawn at random, so that a few training patients are memorized less than by trees or
networks that choose them.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np
from pydantic import BeforeValidator, Field

from ecgexp.features.inputs import Shape
from ecgexp.features.shortened_records import shortened
from ecgexp.formatting import count_text
from ecgexp.models.damaged import FIX
from ecgexp.models.estimator import Examples
from ecgexp.models.forest import ARRAYS, Forest
from ecgexp.settings.declaration import ConfigError, Count, DataError, Number, Whole, settings

_Share = Annotated[Number, Field(gt=0, le=1)]
_Neighbors = Annotated[Whole, Field(ge=1, le=20)]
_Bias = Annotated[Number, Field(ge=-20, le=20)]
# Null, which a command line can replace by a mapping, unlike an empty mapping.
_Null = BeforeValidator(lambda value: {} if value is None else value)
_SHORTENED = "rhythm_morphology"
_SMALLEST = 1e-6  # added to probabilities, so that a bias can raise a class that no tree voted for


@settings
class ExtraTrees:
    """An ensemble of extremely randomized trees on numbers of a beat.

    `trainer=fit` fits it with scikit-learn; the fitted trees are arrays (`models.forest`), which
    are saved without pickle and computed without scikit-learn.

    Attributes:
      num_trees: trees.
      min_leaf: least training beats in a leaf.
      feature_share: share of the features that are compared at each node.
      full_weight_beats: class -> k: beats of the class weigh as the square root of their number
        where a patient has more than k, min(1, sqrt(k / number)) each, so that one patient with
        most beats of a rare class does not decide it. Other classes: 1 for each beat.
      class_bias: class -> value added to the logarithm of its probability; probabilities are then
        normalized again. Trees underestimate rare classes. To be chosen on training patients.
      shortened_neighbors: for each number, every training record is used once more, without the
        beats that are further from an early beat than so many beats
        (`features.shortened_records`): as if premature beats were the rule in it. Needs
        features=rhythm_morphology.
      shortened_weight: weight of a beat of a shortened record, relative to the same beat.

    Example:
      >>> ExtraTrees(class_bias={"S": 0.4}).required_features
      frozenset()
    """

    num_trees: Annotated[Whole, Field(ge=1, le=10_000)] = 100
    min_leaf: Count = 3
    feature_share: _Share = 0.8
    full_weight_beats: Annotated[Mapping[str, Count], _Null] = Field(default_factory=dict)
    class_bias: Annotated[Mapping[str, _Bias], _Null] = Field(default_factory=dict)
    shortened_neighbors: tuple[_Neighbors, ...] = ()
    shortened_weight: _Share = 0.33

    required_features: ClassVar[frozenset[str]] = frozenset()
    optional_features: ClassVar[frozenset[str]] = frozenset({_SHORTENED, "handcrafted", "rr"})
    weight_names: ClassVar[tuple[str, ...]] = (*ARRAYS, "class_bias")

    @property
    def has_batch_normalization(self) -> bool:
        """See `ModelBuilder`."""
        return False

    def check_names(self, class_names: Sequence[str], feature_names: frozenset[str]) -> None:
        """See `EstimatorBuilder.check_names`."""
        for name in ("full_weight_beats", "class_bias"):
            if unknown := [key for key in getattr(self, name) if key not in class_names]:
                raise ConfigError(
                    f"model.{name}.{unknown[0]}: no class of the grouping; use "
                    f"{', '.join(class_names)}."
                )
        if self.shortened_neighbors and _SHORTENED not in feature_names:
            raise ConfigError(
                f"model.shortened_neighbors={list(self.shortened_neighbors)}: shortens records of "
                f"features={_SHORTENED} alone; use these, or model.shortened_neighbors=[]."
            )

    def fit(self, examples: Examples, seed: int) -> list[np.ndarray]:
        """See `Fitting.fit`; equal seeds give equal trees, on any number of cores."""
        from sklearn.ensemble import ExtraTreesClassifier

        trees = ExtraTreesClassifier(
            self.num_trees,
            min_samples_leaf=self.min_leaf,
            max_features=self.feature_share,  # pyright: ignore[reportArgumentType]  # inferred as str
            n_jobs=len(os.sched_getaffinity(0)),
            random_state=seed,
        )
        rows, labels, sample_weight = self._rows(examples)
        trees.fit(rows, labels, sample_weight=sample_weight)
        names = list(examples.class_names)
        forest = Forest.of_sklearn(trees.estimators_, np.asarray(trees.classes_), len(names))
        return self.decided([*forest.arrays, np.zeros(len(names))], names)

    def _rows(self, examples: Examples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the values, labels and weights of all beats, and of the shortened records."""
        values, weights = _joined(examples.features), self.weights(examples)
        parts = [(values, examples.labels, weights)]
        if self.shortened_neighbors:
            if examples.previous_s is None:
                raise DataError(
                    f"model.shortened_neighbors={list(self.shortened_neighbors)}: the beats have "
                    "no RR intervals; use a dataset of records, or model.shortened_neighbors=[]."
                )
            values = examples.features[_SHORTENED]
            for record in np.unique(examples.record_ids):
                rows = np.flatnonzero(examples.record_ids == record)
                for neighbors in self.shortened_neighbors:
                    kept, found = shortened(values[rows], examples.previous_s[rows], neighbors)
                    kept = rows[kept]
                    weight = weights[kept] * self.shortened_weight
                    parts.append((found, examples.labels[kept], weight))
        found, labels, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
        return found, labels, weights

    def undecided(self) -> "ExtraTrees":
        """See `Deciding.undecided`; without `class_bias`."""
        return replace(self, class_bias={})

    def decided(
        self, weights: Sequence[np.ndarray], class_names: Sequence[str]
    ) -> list[np.ndarray]:
        """See `Deciding.decided`; with the `class_bias` of these settings."""
        return [*weights[:-1], np.array([float(self.class_bias.get(n, 0.0)) for n in class_names])]

    def weights(self, examples: Examples) -> np.ndarray:
        """Return (num_beats,) float64, the weight of each training beat."""
        found = np.ones(len(examples.labels))
        names = list(examples.class_names)
        for name, number in self.full_weight_beats.items():
            if name not in names:  # dropped, because it has no beat
                continue
            rows = np.flatnonzero(examples.labels == names.index(name))
            _, patients, counts = np.unique(
                examples.patient_ids[rows], return_inverse=True, return_counts=True
            )
            found[rows] = np.sqrt(np.minimum(1.0, number / counts))[patients]
        return found

    def check_weights(
        self,
        weights: Sequence[np.ndarray],
        feature_shapes: Mapping[str, Shape],
        num_classes: int,
    ) -> None:
        """See `EstimatorBuilder.check_weights`."""
        if len(weights) != len(self.weight_names):
            raise DataError(
                f"the model has {len(weights)} arrays, and {len(self.weight_names)} are needed; "
                f"{FIX}"
            )
        *forest, bias = weights
        if bias.shape != (num_classes,) or bias.dtype != np.float64 or not np.isfinite(bias).all():
            raise DataError(f"the class bias of the model has not {num_classes} numbers; {FIX}")
        num_features = sum(int(np.prod(shape)) for shape in feature_shapes.values())
        Forest.of_arrays(forest).check(num_features, num_classes)

    def probabilities(
        self, weights: Sequence[np.ndarray], features: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """See `EstimatorBuilder.probabilities`."""
        *forest, bias = weights
        found = Forest.of_arrays(forest).probabilities(_joined(features))
        found = (found + _SMALLEST) * np.exp(bias)
        return found / found.sum(axis=1, keepdims=True)

    def size(self, weights: Sequence[np.ndarray]) -> str:
        """See `EstimatorBuilder.size`."""
        megabytes = sum(array.nbytes for array in weights) / 1e6
        forest = Forest.of_arrays(weights[:-1])
        return (
            f"{count_text(len(forest.roots))} trees with {count_text(len(forest.features))} nodes "
            f"({megabytes:.1f} MB)"
        )


def _joined(features: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return (num_beats, num_features) float32, the features in the order of their names."""
    return np.concatenate(
        [array.reshape(len(array), -1) for _, array in sorted(features.items())], axis=1
    ).astype(np.float32)
