"""A record in millivolts and samples, independent of the file format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypedDict

import numpy as np

Format = Literal["wfdb", "edf", "csv"]
"""Format of a record: WFDB; EDF or BDF; continuous signals in CSV."""
SymbolsFrom = Literal["symbol", "aux_note", "aux_note_or_symbol"]
"""What states the symbol of an annotation."""

UNITS_PER_MV = {"mv": 1.0, "uv": 1e-3, "nv": 1e-6, "v": 1e3}
"""Units of potential, in lower case and with `u` for micro, as a multiple of millivolts."""

LONGEST_LEAD = 2**28
"""Samples of a lead with its gaps: two weeks at 200 Hz. Files that state more are refused."""

# "Beat annotations" of https://archive.physionet.org/physiobank/annotations.shtml; all others mark
# rhythm, noise or waves.
BEAT_SYMBOLS = tuple("NLRBAaJSVrFejnE/fQ?")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record and its reference annotations.

    Attributes:
      record_id: Its name, e.g. `"100"`.
      patient_id: The patient.
      signals_mv: (num_samples, leads) float64, millivolts, at `signal_hz`.
      lead_names: Name of each column.
      fs_hz: Frames per second.
      samples: (num_annotations,) int64, time of every annotation in frames (sample intervals at
        `fs_hz`), in time order; beats and others, all inside the record. Multiply it by
        `samples_per_frame` for the row of `signals_mv`.
      symbols: (num_annotations,) str, symbol of every annotation.
      samples_per_frame: Samples of a signal in a frame; above 1 for signals with a higher
        frequency than the annotations.
      unusable: Lead -> message why it cannot be used, with the file and the remedy. Code that needs
        the lead raises this message.
      outside: Symbol -> number of annotations before the first sample or after the last one, which
        are not in `samples`.
      gaps: Lead -> (num_gaps, 2) int64, half-open intervals in rows of `signals_mv`, ascending and
        disjoint, where the lead has no value; leads without gaps need no entry. `signals_mv` is
        finite there too: the straight line between the neighboring values (`gaps.bridge`).
      notes: What was accepted although it is unusual -> how often, e.g. leads without a gain
        (`docs/reference/reading-rules.md`).
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
    gaps: Mapping[str, np.ndarray] = field(default_factory=lambda: MappingProxyType({}))
    notes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def signal_hz(self) -> float:
        """Sampling frequency of the signals."""
        return self.fs_hz * self.samples_per_frame

    @property
    def num_beats_outside(self) -> int:
        """Number of annotated beats outside the record."""
        return sum(count for symbol, count in self.outside.items() if symbol in BEAT_SYMBOLS)

    @property
    def is_beat(self) -> np.ndarray:
        """(num_annotations,) bool: True for beats."""
        return np.isin(self.symbols, BEAT_SYMBOLS)

    @property
    def beat_samples(self) -> np.ndarray:
        """(num_beats,) int64: annotated frame of every beat."""
        return self.samples[self.is_beat]

    @property
    def beat_symbols(self) -> np.ndarray:
        """(num_beats,) str: symbol of every beat."""
        return self.symbols[self.is_beat]


class AnnotationFields(TypedDict):
    """The fields of a `Record` that come from its annotations."""

    samples: np.ndarray
    symbols: np.ndarray
    outside: Mapping[str, int]


def split_outside(samples: np.ndarray, symbols: np.ndarray, inside: np.ndarray) -> AnnotationFields:
    """Return the fields of a `Record` that come from its annotations.

    Args:
      samples: (num_annotations,) int64.
      symbols: (num_annotations,) str.
      inside: (num_annotations,) bool, see `integrity.is_inside`.

    Returns:
      `samples` and `symbols` of the annotations inside the record, and `outside`.
    """
    names, counts = np.unique(symbols[~inside], return_counts=True)
    outside = MappingProxyType(dict(zip(names.tolist(), counts.tolist(), strict=True)))
    return {"samples": samples[inside], "symbols": symbols[inside], "outside": outside}
