"""Which splits of labeled beats are possible, and how large their parts are."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ecgexp.analysis.inspection.facts import PartSize, PossibleSplit
from ecgexp.data.beats import BeatSet
from ecgexp.data.datasets.base import Dataset
from ecgexp.data.leakage import check_split
from ecgexp.data.partition.natural import Pooled
from ecgexp.data.splits.base import Split, Splitter
from ecgexp.data.splits.cross_database import check_databases
from ecgexp.experiment.part_checks import check_patients_known, option_of
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError, DataError

_PARTS = ("train", "validation", "test")


def splits_of(
    beats: BeatSet, dataset: Dataset, chosen: Splitter, seed: int
) -> tuple[list[PossibleSplit], Split | None]:
    """Try every split of the package with its default settings, and the one of the settings.

    Args:
      beats: With labels; their signals are not used.
      dataset: Whose beats they are.
      chosen: The split of the settings, which is the first of the result.
      seed: Seed of the run, which draws the parts.

    Returns:
      The splits, and the indices of the chosen one; None if it is not possible.
    """
    found, parts = [], None
    for splitter in (chosen, *_others(chosen)):
        one, indices = _tried(beats, dataset, splitter, seed, is_chosen=splitter is chosen)
        found.append(one)
        parts = indices if splitter is chosen else parts
    return found, parts


def _others(chosen: Splitter) -> Iterator[Splitter]:
    from ecgexp import data

    for name in sorted(dir(data)):
        kind = getattr(data, name)
        if (
            isinstance(kind, type)
            and hasattr(kind, "divides_patients")
            and kind is not type(chosen)
        ):
            yield kind()


def _tried(
    beats: BeatSet, dataset: Dataset, splitter: Splitter, seed: int, *, is_chosen: bool
) -> tuple[PossibleSplit, Split | None]:
    option = f"split={option_of(splitter)}"
    try:
        if not len(beats):
            raise DataError(f"{option}: there is no beat to divide; correct the records above")
        check_databases(dataset, splitter)
        check_patients_known(beats.knows_patients, split=splitter, partition=Pooled())
        with warnings.catch_warnings():
            # Of scikit-learn, about classes with fewer patients than folds; the counts show it.
            warnings.simplefilter("ignore", UserWarning)
            parts = splitter.split(beats, Seeds(seed).generator("split"))
        check_split(beats, replace(parts, notes=()))  # logged otherwise
    except (ConfigError, DataError) as error:
        return PossibleSplit(option=option, is_chosen=is_chosen, reason=str(error)), None
    sizes = {name: _size(beats, getattr(parts, name)) for name in _PARTS}
    return (
        PossibleSplit(
            option=option,
            is_chosen=is_chosen,
            parts=sizes,
            notes=(*parts.notes, *_lacking(sizes)),
        ),
        parts,
    )


def _size(beats: BeatSet, rows: np.ndarray) -> PartSize:
    return PartSize(
        beats=len(rows),
        patients=len(np.unique(beats.patient_ids[rows])) if beats.knows_patients else None,
        classes=beats.class_counts(rows),
    )


def _lacking(sizes: "dict[str, PartSize]") -> Sequence[str]:
    """Return a remark for each part that lacks classes."""
    return [
        f"{name} has no beat of class {', '.join(absent)}"
        for name, size in sizes.items()
        if size.beats and (absent := [one for one, number in size.classes.items() if not number])
    ]
