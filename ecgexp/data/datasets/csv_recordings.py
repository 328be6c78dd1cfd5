"""A user's own recordings in CSV files: continuous signals, and tables of annotations."""

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ecgexp.data.datasets.folder import FolderDataset
from ecgexp.data.preprocessing.settings import Name
from ecgexp.settings.declaration import ConfigError, Positive, settings

if TYPE_CHECKING:
    from ecgexp.data.formats.csv_source import CsvSource
    from ecgexp.data.formats.discovery import FoundRecords


@settings
class CsvDataset(FolderDataset):
    """Recordings `<name>.csv` with annotations `<name>_annotations.csv`; see `FolderDataset`.

    The first line of a recording names its columns: leads, and a time column if there is one. That
    of the annotations names `sample`, `seconds` or `milliseconds`, and `symbol`
    (`docs/reference/reading-rules.md`).

    Attributes:
      recorded_hz: Frequency of the recordings; None: estimated from their time column.
      units: Units of leads whose heading does not state them, as `MLII (mV)` does; None: such leads
        are in units of the converter if `adc_gain` is set, else they cannot be used.
      time_column: Name of the time column; None: a column named `sample`, `seconds`, `time_s`,
        `milliseconds` or `time_ms`, if there is one.
      time_unit: Unit of `time_column`.
      annotations: End of the names of annotation tables.

    Example:
      >>> CsvDataset(path="recordings/trial", recorded_hz=250.0, units="mV").title
      'trial'
    """

    recorded_hz: Positive | None = None
    units: Literal["mV", "uV", "V", "nV"] | None = None
    time_column: Name | None = None
    time_unit: Literal["samples", "seconds", "milliseconds"] = "seconds"
    annotations: Annotated[
        Name, Field(max_length=64, pattern=r"^[A-Za-z0-9_.\-]*[A-Za-z0-9_\-]\.csv$")
    ] = "_annotations.csv"

    def __post_init__(self):
        super().__post_init__()
        if self.patient_comment is not None:
            raise ConfigError(
                "dataset.patient_comment: dataset=csv has no header comments; use "
                "dataset.patients=FILE.csv or dataset.patient_pattern"
            )
        if self.symbols_from != "symbol":
            raise ConfigError(
                f"dataset.symbols_from={self.symbols_from}: annotation tables have no notes; use "
                "dataset.symbols_from=symbol"
            )

    def _found(self) -> "FoundRecords":
        from ecgexp.data.formats.csv_source import find_recordings
        from ecgexp.data.formats.discovery import select_records

        if self.path is None:
            raise ConfigError(
                "dataset=csv: dataset.path=null names no recordings; use dataset.path= with their "
                "folder, e.g. dataset.path=recordings"
            )
        found = find_recordings(
            self.path,
            self.annotations,
            others=[self.patients],
            setting=f"dataset.path={self.path}",
        )
        return found if self.records is None else select_records(found, self.records)

    def _source(self) -> "CsvSource":
        from ecgexp.data.formats.csv_signals_reader import CsvLayout
        from ecgexp.data.formats.csv_source import CsvSource

        source = super()._source()
        return CsvSource(
            **{field.name: getattr(source, field.name) for field in fields(source)},
            layout=CsvLayout(
                recorded_hz=self.recorded_hz,
                units=self.units,
                adc_gain=self.adc_gain,
                time_column=self.time_column,
                time_unit=self.time_unit,
                annotations=self.annotations,
            ),
        )
