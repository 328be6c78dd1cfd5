"""How a record becomes beats: the settings every dataset shares."""

from collections.abc import Callable
from fractions import Fraction as Rational
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

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
"""Told `(done, total, what)` while records are prepared, for a progress bar."""

Layout = Literal["wfdb", "kaggle_csv"]
Verify = Literal["published", "header"]


def _text(value: Any) -> Any:
    """YAML and the shell read record names such as 100 as integers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Name = Annotated[str, BeforeValidator(_text)]


def _simple(fs_hz: float) -> float:
    """Resampling by a ratio of large numbers takes a filter of that length."""
    if Rational(fs_hz).limit_denominator(10_000).denominator > _FINEST:
        raise PydanticCustomError("fine", "Input should have at most two decimals")
    return fs_hz


Frequency = Annotated[Number, Field(ge=10, le=10_000), AfterValidator(_simple)]
"""Samples a second of the windows."""

_FINEST = 100
_MOST_SAMPLES = 20_000


@settings
class Preprocessing:
    """What is done to every record before its beats are cut out.

    Attributes:
      leads: names of the leads to use, one column of the windows each.
      missing_lead: what to do with a record that lacks one of them. `error`: stop; `skip`: leave the record out, with a
        warning; `first`: let the record's first lead that was not asked for stand in, with a warning.
      fs_hz: sampling frequency of the windows; records at another one are resampled.
      baseline: how slow wander is removed. `median`: minus the 200 ms, then 600 ms running median (de Chazal 2004);
        `bandpass`: zero-phase Butterworth over `bandpass_hz`; `none`.
      bandpass_hz: its edges.
      window_ms: milliseconds before and after the R peak; a beat whose window leaves the record is dropped and counted.
      relocate_ms: move every R to the largest value of the first lead within ± this; 0 keeps the annotated sample.
      cache_dir: folder for prepared beats; None: prepare them anew each time.
    """

    leads: Annotated[tuple[Name, ...], Field(min_length=1, max_length=64)] = ("MLII",)
    missing_lead: Literal["error", "skip", "first"] = "skip"
    fs_hz: Frequency = 360.0
    baseline: Literal["median", "bandpass", "none"] = "median"
    bandpass_hz: tuple[Positive, Positive] = (0.5, 40.0)
    window_ms: tuple[Milliseconds, Milliseconds] = (250.0, 250.0)
    relocate_ms: Milliseconds = 0.0
    cache_dir: Folder | None = None

    def __post_init__(self):
        check_named_once("dataset.leads", self.leads)
        if self.window_samples[0] + self.window_samples[1] < 2:
            raise ConfigError(
                f"dataset.window_ms={list(self.window_ms)} is shorter than two samples at {self.fs_hz:g} Hz; "
                "try [250,250]"
            )
        if sum(self.window_samples) > _MOST_SAMPLES:
            raise ConfigError(
                f"dataset.window_ms={list(self.window_ms)} is {sum(self.window_samples)} samples at dataset.fs_hz="
                f"{self.fs_hz:g}, above {_MOST_SAMPLES}; use a shorter window, e.g. dataset.window_ms=[250,250]"
            )
        if self.bandpass_hz[0] >= self.bandpass_hz[1]:
            raise ConfigError(
                f"dataset.bandpass_hz={list(self.bandpass_hz)} must rise; try [0.5,40]"
            )

    @property
    def window_samples(self) -> tuple[int, int]:
        """Samples before R, and from R on, at `fs_hz`."""
        before, after = (round(ms * self.fs_hz / 1000) for ms in self.window_ms)
        return before, after

    def parameters(self) -> dict[str, Any]:
        """What decides the numbers of the beats, JSON-able: part of the cache's key."""
        return {
            "leads": self.leads,
            "missing_lead": self.missing_lead,
            "fs_hz": self.fs_hz,
            "baseline": self.baseline,
            "bandpass_hz": self.bandpass_hz if self.baseline == "bandpass" else None,
            "window_samples": self.window_samples,
            "relocate_ms": self.relocate_ms,
        }
