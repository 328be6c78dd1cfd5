"""A record: what one file of a database holds, in millivolts and samples, whatever layout it was read from."""

from dataclasses import dataclass

import numpy as np

# https://archive.physionet.org/physiobank/annotations.shtml, "beat annotations"; all else marks rhythm, noise or waves.
BEAT_SYMBOLS = tuple("NLRBAaJSVrFejnE/fQ?")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record and its reference annotations.

    Attributes:
      record_id: its name, e.g. `"100"`.
      patient_id: the person it was taken from.
      signals_mv: (num_samples, leads) float64, millivolts.
      lead_names: one name for each column.
      fs_hz: sampling frequency.
      samples: (num_annotations,) int64, the sample of every annotation, in time order; beats and others.
      symbols: (num_annotations,) str, its symbol.
    """

    record_id: str
    patient_id: str
    signals_mv: np.ndarray
    lead_names: tuple[str, ...]
    fs_hz: float
    samples: np.ndarray
    symbols: np.ndarray

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
