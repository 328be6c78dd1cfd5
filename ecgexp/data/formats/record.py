"""A record: what one file of a database holds, in millivolts and samples, whatever layout it was read from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

# https://archive.physionet.org/physiobank/annotations.shtml, "beat annotations"; all else marks rhythm, noise or waves.
BEAT_SYMBOLS = tuple("NLRBAaJSVrFejnE/fQ?")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record and its reference annotations.

    Attributes:
      record_id: its name, e.g. `"100"`.
      patient_id: the person it was taken from.
      signals_mv: (num_samples, leads) float64, millivolts, at `signal_hz`.
      lead_names: one name for each column.
      fs_hz: frames a second, by which annotations are counted.
      samples: (num_annotations,) int64, the frame of every annotation, in time order; beats and others, all inside the record.
      symbols: (num_annotations,) str, its symbol.
      samples_per_frame: of the signals; above 1 in records that were sampled faster than their annotations count.
      unusable: lead -> why it cannot be used, with the file and the remedy: a gap, no volts. Who needs it, raises that.
      outside: symbol -> annotations before the first sample or beyond the last one, which are not among `samples`.
    """

    record_id: str
    patient_id: str
    signals_mv: np.ndarray
    lead_names: tuple[str, ...]
    fs_hz: float
    samples: np.ndarray
    symbols: np.ndarray
    samples_per_frame: int = 1
    unusable: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    outside: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def signal_hz(self) -> float:
        """Sampling frequency of the signals."""
        return self.fs_hz * self.samples_per_frame

    @property
    def num_beats_outside(self) -> int:
        """Annotated beats outside the record."""
        return sum(count for symbol, count in self.outside.items() if symbol in BEAT_SYMBOLS)

    @property
    def is_beat(self) -> np.ndarray:
        """(num_annotations,) bool: which annotations are heartbeats."""
        return np.isin(self.symbols, BEAT_SYMBOLS)

    @property
    def beat_samples(self) -> np.ndarray:
        """(num_beats,) int64: the annotated sample of every beat."""
        return self.samples[self.is_beat]

    @property
    def beat_symbols(self) -> np.ndarray:
        """(num_beats,) str: the symbol of every beat."""
        return self.symbols[self.is_beat]


def split_outside(
    samples: np.ndarray, symbols: np.ndarray, inside: np.ndarray
) -> dict[str, object]:
    """The fields of a `Record` that come from its annotations: those inside it, and how many of each symbol are not.

    Args:
      samples: (num_annotations,) int64.
      symbols: (num_annotations,) str.
      inside: (num_annotations,) bool.
    """
    names, counts = np.unique(symbols[~inside], return_counts=True)
    outside = MappingProxyType(dict(zip(names.tolist(), counts.tolist(), strict=True)))
    return {"samples": samples[inside], "symbols": symbols[inside], "outside": outside}
