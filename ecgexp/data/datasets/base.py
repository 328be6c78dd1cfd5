"""The dataset protocol: where the beats of a run come from."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from ecgexp.data.beats import BeatSet
from ecgexp.data.preprocessing.settings import OnProgress, Preprocessing, Quality
from ecgexp.settings.declaration import ConfigError

if TYPE_CHECKING:
    from ecgexp.data.formats.record import Record
    from ecgexp.data.formats.source import RecordSource

ReadRecord: TypeAlias = "Callable[[str], Record]"
"""Record id, as in `BeatSet.record_ids` -> the record."""


class Dataset(Protocol):
    """Settings from which beats can be loaded."""

    @property
    def window_samples(self) -> tuple[int, int]:
        """Samples of a beat's window before and from its annotated sample."""
        ...

    @property
    def preprocessings(self) -> tuple[Preprocessing, ...]:
        """Preprocessing of its records; of two databases, that of each."""
        ...

    @property
    def knows_patients(self) -> bool:
        """Whether the patients of its beats are stated or assumed; see `BeatSet.patients_are`."""
        ...

    @property
    def has_records(self) -> bool:
        """Whether its beats are cut from records, which RR intervals and templates need."""
        ...

    def check_there(self) -> None:
        """Check that the files are there, without reading them.

        Raises:
          DataError: They are not; the message says how to get them.
        """
        ...

    def load(self, on_progress: OnProgress | None = None) -> BeatSet:
        """Return the beats, without labels.

        Args:
          on_progress: called with (done, total, what) while records are read.

        Raises:
          DataError: the data are missing or damaged.
        """
        ...

    def open_records(self) -> AbstractContextManager[ReadRecord]:
        """Return the context in which records are read as they were recorded, with all their leads.

        Raises:
          DataError: the files are missing. The function that the context yields raises it for a
            record whose files are missing or damaged.
        """
        ...


@runtime_checkable
class HasSource(Protocol):
    """A dataset whose records can be read one by one, also if some of them are damaged."""

    def open_source(self) -> AbstractContextManager["RecordSource"]:
        """Return the context in which the files of the records are there.

        Raises:
          DataError: There are no records, or they cannot be found.
        """
        ...


@runtime_checkable
class HasQuality(Protocol):
    """A dataset whose settings say what to do with beats that show no usable ECG."""

    @property
    def quality(self) -> Quality:
        """As in `SharedPreprocessing`."""
        ...


def quality_of(dataset: Dataset) -> Quality:
    """Return what to do with beats that show no usable ECG: `ignore` if nothing can be known.

    Args:
      dataset: The settings; beats that somebody else cut have no segments to look at.
    """
    return dataset.quality if isinstance(dataset, HasQuality) else "ignore"


def key_folder(cache_dir: Path | None) -> Path:
    """Return the folder of the key of `dataset.pseudonyms=true`.

    Raises:
      ConfigError: there is none.
    """
    from ecgexp.data.formats.pseudonyms import FOLDER

    if cache_dir is None:
        raise ConfigError(
            "dataset.cache_dir=null: the key of dataset.pseudonyms=true is kept there; use "
            "data.cache_dir= with a folder that only you can read, or dataset.pseudonyms=false"
        )
    return cache_dir / FOLDER
