"""Signals that are read in parts: from arrays in memory, or from scratch files.

A recording of two weeks does not fit into memory. Its leads are written once to scratch files in
millivolts, while the file is decoded and checked, and then read in parts of any length.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.gaps import NO_GAPS, find_gaps
from ecgexp.data.formats.integrity import check_millivolts
from ecgexp.data.formats.record import Record

LONGEST_STORED = 2**31
"""Samples of a lead that is read in parts: more than three months at 250 Hz."""

_BYTES = np.dtype(np.float64).itemsize


OnSamples = Callable[[int], None]
"""Called with the number of samples that were read since the last call."""


class Signals(Protocol):
    """The leads of a record, read in parts."""

    def __len__(self) -> int:
        """Number of samples of each lead."""
        ...

    def read(self, column: int, begin: int, end: int) -> np.ndarray:
        """Return (end - begin,) float64: these samples of a lead, in millivolts."""
        ...


@dataclass(frozen=True, kw_only=True)
class ArraySignals:
    """Signals in memory.

    Attributes:
      signals_mv: (num_samples, leads) float64, millivolts.

    Example:
      >>> ArraySignals(signals_mv=np.array([[0.0], [0.5], [1.0]])).read(0, 1, 3)
      array([0.5, 1. ])
    """

    signals_mv: np.ndarray

    def __len__(self) -> int:
        """See `Signals`."""
        return len(self.signals_mv)

    def read(self, column: int, begin: int, end: int) -> np.ndarray:
        """See `Signals`."""
        return self.signals_mv[begin:end, column]


@dataclass(frozen=True, kw_only=True)
class StoredLead:
    """A lead in a scratch file.

    Attributes:
      path: Its samples, float64 in millivolts; any value in gaps.
      num_samples: Their number.
      gaps: (num_gaps, 2) int64, half-open intervals without values, ascending and disjoint.
      factor: So many samples are averaged to one, for a lead that is recorded more often than the
        leads that are used.
    """

    path: Path
    num_samples: int
    gaps: np.ndarray = field(default_factory=lambda: NO_GAPS)
    factor: int = 1

    def read(self, begin: int, end: int) -> np.ndarray:
        """Return (end - begin,) float64: what `gaps.bridge` of the whole lead has there."""
        if self.factor == 1:
            return self._bridged(begin, end)
        values = self._bridged(begin * self.factor, end * self.factor)
        return values.reshape(end - begin, self.factor).mean(axis=1)

    def _bridged(self, begin: int, end: int) -> np.ndarray:
        values = self._raw(begin, end)
        first = np.searchsorted(self.gaps[:, 1], begin, side="right")
        last = np.searchsorted(self.gaps[:, 0], end)
        for start, stop in self.gaps[first:last].tolist():
            known = [at for at in (start - 1, stop) if 0 <= at < self.num_samples]
            heights = [self._raw(at, at + 1)[0] for at in known]
            places = np.arange(max(start, begin), min(stop, end))
            values[places - begin] = np.interp(places, known, heights)
        return values

    def _raw(self, begin: int, end: int) -> np.ndarray:
        return np.fromfile(self.path, np.float64, count=max(end - begin, 0), offset=begin * _BYTES)


@dataclass(frozen=True, kw_only=True)
class StoredSignals:
    """Leads in scratch files.

    Attributes:
      leads: One for each column; None for a lead that is not used and was only checked.
      num_samples: Samples of each.
    """

    leads: Sequence[StoredLead | None]
    num_samples: int

    def __len__(self) -> int:
        """See `Signals`."""
        return self.num_samples

    def read(self, column: int, begin: int, end: int) -> np.ndarray:
        """See `Signals`."""
        lead = self.leads[column]
        if lead is None:
            raise ValueError(f"column {column} was not stored, because it was not asked for")
        return lead.read(begin, end)


@dataclass(frozen=True, kw_only=True)
class StreamedRecord:
    """A record whose signals are read in parts.

    Attributes:
      record: Everything but the signals; its `signals_mv` has their shape and no value, only NaN.
      signals: The signals.
    """

    record: Record
    signals: Signals

    @classmethod
    def in_memory(cls, record: Record) -> "StreamedRecord":
        """Return a record that was read whole."""
        return cls(record=record, signals=ArraySignals(signals_mv=record.signals_mv))


def no_values(num_samples: int, num_leads: int) -> np.ndarray:
    """Return (num_samples, num_leads) float64 of NaN that takes no memory."""
    return np.broadcast_to(np.float64(np.nan), (num_samples, num_leads))


class LeadWriter:
    """Writes a lead part by part, and keeps its gaps and its range.

    Args:
      path: The scratch file; None: nothing is written, the lead is only checked.
    """

    def __init__(self, path: Path | None):
        self.path, self.num_samples = path, 0
        self._file = None if path is None else path.open("wb")
        self._gaps: list[np.ndarray] = []
        self._low, self._high, self._is_finite = 0.0, 0.0, True
        self._num_missing = 0

    def __enter__(self) -> "LeadWriter":
        """Return this object."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def add(self, lead_mv: np.ndarray, missing: np.ndarray | None = None) -> None:
        """Append samples.

        Args:
          lead_mv: (num_samples,) float64, millivolts.
          missing: (num_samples,) bool: True for samples without a value; None: all have one.
        """
        has_gaps = missing is not None and missing.any()
        known = lead_mv[~missing] if missing is not None and has_gaps else lead_mv
        if len(known):
            low, high = float(known.min()), float(known.max())
            self._is_finite &= bool(np.isfinite(low) and np.isfinite(high))
            self._low, self._high = min(self._low, low), max(self._high, high)
        if missing is not None and has_gaps:
            self._gaps.append(find_gaps(missing) + self.num_samples)
            self._num_missing += int(missing.sum())
        if self._file is not None:
            self._file.write(np.ascontiguousarray(lead_mv, np.float64).data)
        self.num_samples += len(lead_mv)

    def add_gap(self, num_samples: int) -> None:
        """Append samples without a value."""
        if num_samples <= 0:
            return
        begin = self.num_samples
        self._gaps.append(np.asarray([[begin, begin + num_samples]], np.int64))
        self._num_missing += num_samples
        self.num_samples += num_samples
        if self._file is not None:
            self._file.seek(self.num_samples * _BYTES)
            self._file.truncate()

    @property
    def is_empty(self) -> bool:
        """Whether no sample has a value."""
        return self._num_missing == self.num_samples

    def check(self, path: Path, name: str, database: Database) -> None:
        """Check the range as `integrity.check_millivolts` does.

        Args:
          path: The file that determines the scale.
          name: Name of the lead.
          database: Gives the remedy.

        Raises:
          DataError: A value is not finite, or is one volt or more.
        """
        extremes = [self._low, self._high] if self._is_finite else [np.inf]
        check_millivolts(path, np.asarray(extremes)[:, None], [name], database)

    def stored(self, factor: int) -> StoredLead | None:
        """Return the lead that was written; None if it was only checked."""
        if self.path is None:
            return None
        return StoredLead(
            path=self.path, num_samples=self.num_samples, gaps=self.gaps(), factor=factor
        )

    def gaps(self) -> np.ndarray:
        """Return (num_gaps, 2) int64, ascending and disjoint."""
        if not self._gaps:
            return NO_GAPS
        every = np.concatenate(self._gaps)
        # A gap that continues in the next part is one gap.
        begins = np.flatnonzero(np.append(True, every[1:, 0] != every[:-1, 1]))
        ends = np.append(begins[1:], len(every)) - 1
        return np.stack([every[begins, 0], every[ends, 1]], axis=1)
