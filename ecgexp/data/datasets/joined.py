"""Several databases or folders as one dataset, each preprocessed by the same settings."""

from contextlib import AbstractContextManager
from typing import Annotated, Literal

from pydantic import Field

from ecgexp.data.beats import BeatSet
from ecgexp.data.datasets.base import ReadRecord
from ecgexp.data.datasets.parts import (
    DatasetPart,
    PartDataset,
    check_all_there,
    check_parts,
    joined,
    load_parts,
    open_parts,
    without_shared,
)
from ecgexp.data.preprocessing.settings import OnProgress, Preprocessing, SharedPreprocessing
from ecgexp.settings.declaration import ConfigError, Part, settings


@settings
class JoinedDataset(SharedPreprocessing):
    """Databases and folders, joined for training and testing; the patients of each stay apart.

    Record and patient ids start with the name of their part, so that equal names are not taken for
    one patient. Which records of published databases come from another one is described in
    `conf/database/`; of other records it is not known whether a person was recorded in two parts. A
    model of this dataset reads records by the lead names of the first part. The other attributes
    are those of `SharedPreprocessing`.

    Attributes:
      parts: The parts. Their leads correspond by position, whatever their names.
      shared_patients: What to do if two parts have records of one patient: stop, or leave these
        records out of the later part.

    Example:
      >>> from ecgexp.data import DatabasePart, FolderPart
      >>> parts = (DatabasePart(), FolderPart(path="recordings/ward"))
      >>> str(JoinedDataset(parts=parts))
      'mitdb+ward'
    """

    parts: Annotated[tuple[Part[DatasetPart], ...], Field(max_length=64)] = ()
    shared_patients: Literal["refuse", "leave_out"] = "refuse"

    def __post_init__(self):
        super().__post_init__()
        if self.parts:
            check_parts({f"dataset.{key}": part for key, part in self._keyed().items()}, self)

    def __str__(self) -> str:
        return "+".join(part.short_name for part in self.parts)

    def _keyed(self) -> dict[str, DatasetPart]:
        return {f"parts[{number}]": part for number, part in enumerate(self.parts)}

    def _datasets(self) -> dict[str, PartDataset]:
        if len(self.parts) < 2:
            raise ConfigError(
                "dataset=joined: dataset.parts names fewer than two parts; use e.g. "
                "'dataset.parts=[{_target_: ecgexp.data.DatabasePart, database: mitdb}, "
                "{_target_: ecgexp.data.FolderPart, path: recordings, leads: [MLII]}]'"
            )
        return {
            f"dataset.{key}": part.with_preprocessing(self) for key, part in self._keyed().items()
        }

    @property
    def preprocessings(self) -> tuple[Preprocessing, ...]:
        """See `Dataset`: that of the first part, whose lead names the model uses."""
        return (next(iter(self._datasets().values())),)

    def check_there(self) -> None:
        """See `Dataset.check_there`.

        Raises:
          ConfigError: There are fewer than two parts, files of one were not found, or two parts
            have a patient.
        """
        self._apart()

    def _apart(self) -> tuple[dict[str, PartDataset], tuple[str, ...]]:
        """Return key -> part, without shared patients; and notes."""
        datasets = self._datasets()
        check_all_there(datasets)
        return without_shared(
            datasets,
            leave_out=self.shared_patients == "leave_out",
            remedy="dataset.shared_patients=leave_out",
        )

    def load(self, on_progress: OnProgress | None = None) -> BeatSet:
        """Load all beats of all parts, without labels, in the order of the parts.

        Args:
          on_progress: Called with `(done, total, what)` while records are preprocessed, for each
            part in turn.

        Returns:
          The beats.

        Raises:
          ConfigError: Files of a part were not found, or two parts have a patient.
          DataError: Files are damaged, or two records have the same signal.
        """
        datasets, notes = self._apart()
        names = [part.short_name for part in self.parts]
        loaded = load_parts(datasets, names, on_progress)
        leads = tuple(
            "/".join(dict.fromkeys(column))
            for column in zip(*(beats.lead_names for beats in loaded), strict=True)
        )
        return BeatSet(
            **joined(loaded, keys=names, lead_names=leads, database=str(self), notes=notes)
        )

    def open_records(self) -> AbstractContextManager[ReadRecord]:
        """See `Dataset.open_records`."""
        return open_parts(self.named_parts())

    def named_parts(self) -> dict[str, PartDataset]:
        """Name before the ids of its records -> the dataset, in the order of the parts."""
        names = (part.short_name for part in self.parts)
        return dict(zip(names, self._datasets().values(), strict=True))
