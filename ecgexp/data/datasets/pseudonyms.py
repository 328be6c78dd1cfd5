"""Own recordings get pseudonyms in runs with a privacy guarantee."""

from dataclasses import replace
from typing import TypeVar

from ecgexp.data.datasets.arrays import ArraysDataset
from ecgexp.data.datasets.cross_database import TwoDatabases
from ecgexp.data.datasets.folder import FolderFiles
from ecgexp.data.datasets.joined import JoinedDataset

T = TypeVar("T")


def with_pseudonyms(dataset: T) -> T:
    """Return a dataset whose own recordings have pseudonyms, where the user did not decide.

    Published databases keep the ids that everybody knows.

    Args:
      dataset: Settings of a dataset or of a part of one.

    Returns:
      The settings; the same object if nothing changes.

    Raises:
      ConfigError: There is no folder for the key.
    """
    if isinstance(dataset, (FolderFiles, ArraysDataset)):
        if not dataset.has_default_pseudonyms:
            return dataset
        dataset.check_pseudonyms()
        return replace(dataset, pseudonyms=True)
    if isinstance(dataset, TwoDatabases):
        parts = with_pseudonyms(dataset.train), with_pseudonyms(dataset.test)
        if parts == (dataset.train, dataset.test):
            return dataset
        return replace(dataset, train=parts[0], test=parts[1])
    if isinstance(dataset, JoinedDataset):
        parts = tuple(with_pseudonyms(part) for part in dataset.parts)
        return dataset if parts == dataset.parts else replace(dataset, parts=parts)
    return dataset
