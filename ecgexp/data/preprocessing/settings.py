"""Settings of the preprocessing of records: what databases share, and what each has of its own."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction as Rational
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from ecgexp.data.formats.leads import FIRST_LEAD, find_lead
from ecgexp.settings.declaration import (
    ConfigError,
    Milliseconds,
    Number,
    Positive,
    check_named_once,
    settings,
)
from ecgexp.settings.paths import Folder

OnProgress = Callable[[int, int, str], None]
"""Called with `(done, total, what)` while records are preprocessed, for a progress bar."""

Layout = Literal["wfdb", "kaggle_csv"]
Verify = Literal["published", "header"]
OnError = Literal["stop", "skip"]
Quality = Literal["ignore", "mark", "drop"]


def _text(value: Any) -> Any:
    """Convert record names such as 100, which YAML and Hydra read as integers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Name = Annotated[str, Field(min_length=1), BeforeValidator(_text)]


def _simple(fs_hz: float) -> float:
    """Allow two decimals; a ratio of large terms would need a resampling filter of that length."""
    if Rational(fs_hz).limit_denominator(10_000).denominator > _FINEST:
        raise PydanticCustomError("fine", "Input should have at most two decimals")
    return fs_hz


def _none(value: Any) -> Any:
    """Convert null, which a command line can replace by a mapping, unlike an empty mapping."""
    return {} if value is None else value


Aliases = Annotated[Mapping[Name, Name | tuple[Name, ...]], BeforeValidator(_none)]
"""Lead -> its name in the records, or several names, of which a record has one."""


def _first(value: Any) -> Any:
    """Convert null, the first lead of each record."""
    return (FIRST_LEAD,) if value is None else value


Leads = Annotated[tuple[Name, ...], Field(min_length=1, max_length=64), BeforeValidator(_first)]
"""Leads of the windows; null: the first lead of each record."""

Frequency = Annotated[Number, Field(ge=10, le=10_000), AfterValidator(_simple)]
"""Sampling frequency of the windows."""

_FINEST = 100
_MOST_SAMPLES = 20_000


@settings
class SharedPreprocessing:
    """Preprocessing that all records of a dataset have in common, also those of two databases.

    Attributes:
      fs_hz: Sampling frequency of the windows; records with another one are resampled.
      baseline: Removal of baseline wander. `median`: subtract the 200 ms, then 600 ms running
        median (de Chazal 2004); `bandpass`: zero-phase Butterworth filter with `bandpass_hz`;
        `none`: no removal. `median` and `none` are followed by no low-pass filter.
      bandpass_hz: Lower and upper edge of the band-pass filter.
      window_ms: Milliseconds before and after the R peak. A beat whose window extends beyond
        the record is dropped and counted.
      relocate_ms: Move every R peak to the largest signed value of the first lead, after baseline
        removal and resampling, within ± this duration; 0 uses the annotated sample. The R peak of a
        negative QRS complex moves to another wave. RR intervals stay those of the annotations.
      quality: What to do with beats in segments that show no usable ECG, see
        `ecgexp.data.quality.segments`. `mark`: count them, and score with and without them; `drop`:
        in addition, leave them out of the training set, and of no other; `ignore`: do not look for
        them.
    """

    fs_hz: Frequency = 360.0
    baseline: Literal["median", "bandpass", "none"] = "median"
    bandpass_hz: tuple[Positive, Positive] = (0.5, 40.0)
    window_ms: tuple[Milliseconds, Milliseconds] = (250.0, 250.0)
    relocate_ms: Milliseconds = 0.0
    quality: Quality = "mark"

    knows_patients: ClassVar[bool] = True
    has_records: ClassVar[bool] = True

    def __post_init__(self):
        if self.window_samples[0] + self.window_samples[1] < 2:
            raise ConfigError(
                f"dataset.window_ms={list(self.window_ms)} is shorter than two samples at "
                f"{self.fs_hz:g} Hz; use a longer window, e.g. dataset.window_ms=[250,250]"
            )
        if sum(self.window_samples) > _MOST_SAMPLES:
            raise ConfigError(
                f"dataset.window_ms={list(self.window_ms)} is {sum(self.window_samples)} samples "
                f"at dataset.fs_hz={self.fs_hz:g}, above {_MOST_SAMPLES}; use a shorter window, "
                "e.g. dataset.window_ms=[250,250]"
            )
        if self.bandpass_hz[0] >= self.bandpass_hz[1]:
            raise ConfigError(
                f"dataset.bandpass_hz={list(self.bandpass_hz)} must increase; use e.g. "
                "dataset.bandpass_hz=[0.5,40]"
            )

    @property
    def window_samples(self) -> tuple[int, int]:
        """Samples before the R peak, and from the R peak on, at `fs_hz`."""
        before, after = (round(ms * self.fs_hz / 1000) for ms in self.window_ms)
        return before, after

    def check_band(self, database: str, fs_hz: float) -> None:
        """Check that the band-pass filter, if it is used, can be applied to a database.

        Args:
          database: Name and version of the database.
          fs_hz: Sampling frequency of its records.

        Raises:
          ConfigError: It cannot; the message gives the limit.
        """
        if self.baseline == "bandpass" and self.bandpass_hz[1] >= fs_hz / 2:
            raise ConfigError(
                f"dataset.bandpass_hz={list(self.bandpass_hz)}: {database} at {fs_hz:g} Hz can "
                f"be filtered below {fs_hz / 2:g} Hz only; use dataset.bandpass_hz=[0.5,40]"
            )


@settings
class OwnPreprocessing:
    """Preprocessing that each database of a dataset of two has of its own.

    Attributes:
      leads: Names of the leads to use; one column of the windows for each. A lead is found by its
        exact name or else in another spelling, see `formats.leads.find_lead`. None: the first lead
        of each record that can be used; a note gives their names.
      lead_aliases: Lead -> name that the records have for it, e.g. `{MLII: II}`, or several names,
        e.g. `{MLII: [MLII, II]}`, of which the first one in a record is used: the lead is read
        under that name, and never under its own if it is not listed.
      missing_lead: What to do with a record that lacks one of them. `error`: stop; `skip`: leave
        the record out, with a warning; `first`: use the first lead of the record that is not in
        `leads` instead, with a warning.
      cache_dir: Folder of the cache of preprocessed beats; None: preprocess them in every run.
    """

    leads: Leads = ("MLII",)
    lead_aliases: Aliases = Field(default_factory=dict)
    missing_lead: Literal["error", "skip", "first"] = "skip"
    cache_dir: Folder | None = None

    def __post_init__(self):
        check_named_once("dataset.leads", self.leads)
        if unknown := [name for name in self.lead_aliases if name not in self.leads]:
            raise ConfigError(
                f"dataset.lead_aliases={_mapped(self.lead_aliases)}: {unknown[0]} is not among "
                f"dataset.leads=[{','.join(self.leads)}]; use one of these"
            )
        if FIRST_LEAD in self.leads and len(self.leads) > 1:
            raise ConfigError(
                f"dataset.leads=[{','.join(self.leads)}]: {FIRST_LEAD} is used alone; use "
                "dataset.leads=null, or the names of all leads"
            )
        if FIRST_LEAD in self.lead_aliases or () in self.lead_aliases.values():
            raise ConfigError(
                f"dataset.lead_aliases={_mapped(self.lead_aliases)}: a lead without a name has no "
                "alias; use the name of a lead, e.g. dataset.leads=[MLII] "
                "dataset.lead_aliases={MLII: II}"
            )
        if len(set(self.recorded_leads)) < len(self.recorded_leads):
            raise ConfigError(
                f"dataset.lead_aliases={_mapped(self.lead_aliases)}: two of the leads "
                f"{', '.join(self.leads)} would be read from one; use another alias"
            )

    @property
    def lead_spellings(self) -> tuple[tuple[str, ...], ...]:
        """For each of `leads`, its names in the records: its own, or its aliases."""
        aliases = (self.lead_aliases.get(name, name) for name in self.leads)
        return tuple((alias,) if isinstance(alias, str) else alias for alias in aliases)

    @property
    def recorded_leads(self) -> tuple[str, ...]:
        """All names of `lead_spellings`."""
        return tuple(name for names in self.lead_spellings for name in names)

    def check_recorded(self, names: Sequence[str], database_has: str) -> None:
        """Check that the records of a database have the leads.

        Args:
          names: Names of the leads in the records.
          database_has: Subject and verb of the message, e.g. "mitdb 1.0.0 has".

        Raises:
          ConfigError: They do not; the message names those that they have.
        """
        absent = [
            (name, spellings)
            for name, spellings in zip(self.leads, self.lead_spellings, strict=True)
            if find_lead(spellings, names) is None
        ]
        if not absent:
            return
        setting = f"dataset.leads={list(self.leads)}"
        if aliased := [each for each in absent if each[0] in self.lead_aliases]:
            setting, absent = f"dataset.lead_aliases={_mapped(self.lead_aliases)}", aliased
        raise ConfigError(
            f"{setting}: {database_has} no lead "
            f"{', '.join(' or '.join(spellings) for _, spellings in absent)}; use leads of "
            f"{', '.join(names)}"
        )


@settings
class Preprocessing(OwnPreprocessing, SharedPreprocessing):
    """Preprocessing of the records of one database to beats.

    See `SharedPreprocessing` and `OwnPreprocessing` for the attributes.

    Example:
      >>> Preprocessing(fs_hz=250, window_ms=(200, 400)).window_samples
      (50, 100)
    """

    def __post_init__(self):
        OwnPreprocessing.__post_init__(self)
        SharedPreprocessing.__post_init__(self)

    @property
    def preprocessings(self) -> "tuple[Preprocessing, ...]":
        """See `Dataset`."""
        return (self,)

    def parameters(self) -> dict[str, Any]:
        """Return the settings that affect the beats, as JSON values, for the key of the cache."""
        return {
            "leads": self.leads,
            "missing_lead": self.missing_lead,
            "fs_hz": self.fs_hz,
            "baseline": self.baseline,
            "bandpass_hz": self.bandpass_hz if self.baseline == "bandpass" else None,
            "window_samples": self.window_samples,
            "relocate_ms": self.relocate_ms,
        } | ({"lead_aliases": dict(self.lead_aliases)} if self.lead_aliases else {})


def _mapped(aliases: Mapping[str, str | tuple[str, ...]]) -> str:
    """Format aliases as in a command-line override."""
    shown = (
        f"{name}: {alias if isinstance(alias, str) else '[' + ','.join(alias) + ']'}"
        for name, alias in aliases.items()
    )
    return "{" + ",".join(shown) + "}"
