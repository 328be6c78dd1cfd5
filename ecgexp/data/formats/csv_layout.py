"""What the columns of recordings in CSV files mean."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from ecgexp.settings.declaration import Positive, settings

Units = Literal["mV", "uV", "V", "nV"]
TimeUnit = Literal["samples", "seconds", "milliseconds"]

_Column = Annotated[
    str,
    Field(min_length=1),
    BeforeValidator(lambda name: str(name) if type(name) is int else name),
]


@settings
class CsvLayout:
    """What the columns of recordings in CSV files mean (`docs/reference/reading-rules.md`).

    Attributes:
      recorded_hz: Frequency of CSV recordings; None: estimated from their time column.
      units: Units of leads whose heading does not state them, as `MLII (mV)` does; None: such leads
        are in units of the converter if `adc_gain` is set, else they cannot be used.
      adc_gain: Units per millivolt of leads without units, and of leads of WFDB whose header states
        no gain; None: such leads cannot be used.
      time_column: Name of the time column; None: a column named `sample`, `seconds`, `time_s`,
        `milliseconds` or `time_ms`, if there is one.
      time_unit: Unit of `time_column`.
      annotations: End of the name of the annotation table, behind that of the recording.

    Example:
      >>> CsvLayout(recorded_hz=250.0, units="mV").annotations
      '_annotations.csv'
    """

    recorded_hz: Positive | None = None
    units: Units | None = None
    adc_gain: Positive | None = None
    time_column: _Column | None = None
    time_unit: TimeUnit = "seconds"
    annotations: Annotated[
        str, Field(max_length=64, pattern=r"^[A-Za-z0-9_.\-]*[A-Za-z0-9_\-]\.csv$")
    ] = "_annotations.csv"
