"""What a split is: the indices of its parts, and the settings that draw them."""

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np

from ecgexp.data.beats import BeatSet, databases
from ecgexp.settings.declaration import DataError


@dataclass(frozen=True, kw_only=True)
class Split:
    """Sorted indices of the parts into one `BeatSet`.

    **Guarantees**: `ecgexp.data.leakage.check_split` verifies `disjoint` on the beats of every run.

    Attributes:
      train: (num_train,) int64.
      validation: (num_validation,) int64; may be empty.
      test: (num_test,) int64.
      disjoint: What the three parts do not share. `beat`: beats; `patient`: patients and beats;
        `database`: in addition, the test part is a database of its own.
      shared_patients: Exceptions to `patient`: patients with records in both DS1 and DS2.
      notes: Remarks that are needed to interpret the scores.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    disjoint: Literal["beat", "patient", "database"]
    shared_patients: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Splitter(Protocol):
    """Settings by which beats are split."""

    divides_patients: ClassVar[bool]
    """Whether beats of one patient may be in several parts, whatever the beats."""

    needs_patients: ClassVar[bool]
    """Whether the patients of the beats must be known, stated or assumed."""

    def split(self, beats: BeatSet, rng: np.random.Generator) -> Split:
        """Split the beats.

        Args:
          beats: Labeled beats.
          rng: Random generator of the split.

        Raises:
          DataError: The beats do not support this split.
        """
        ...


def is_mitdb(beats: BeatSet) -> bool:
    """Return whether all beats are of mitdb."""
    return [name.split()[0] for name in databases(beats.database)] == ["mitdb"]


def require_mitdb(beats: BeatSet, name: str) -> None:
    """Check that the beats are of mitdb, whose records the split `name` lists.

    Raises:
      DataError: They are of another database.
    """
    if not is_mitdb(beats):
        raise DataError(
            f"split={name}: it lists records of mitdb, but the beats are of {beats.database}; use "
            "dataset=mitdb, or split=inter_patient split.division=auto"
        )
