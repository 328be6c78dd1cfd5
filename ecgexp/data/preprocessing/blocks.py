"""Windows of a long record, block by block, as `one_record.preprocess_record` cuts them.

**Guarantees**: Windows, gaps and places of beats equal those of `preprocess_record` bit for bit,
whatever the block: medians, resampling and windows of a block are computed with all samples that
they depend on, and the band-pass filter runs over the whole lead, forward and then backward
(`tests/unit/data/test_blocks.py`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgexp.data.formats.stored_signals import (
    Signals,
    StoredLead,
    StoredSignals,
    StreamedRecord,
)
from ecgexp.data.preprocessing.baseline import (
    median_reach,
    remove_median_baseline,
    resample,
    resampling_ratio,
    resampling_reach,
)
from ecgexp.data.preprocessing.one_record import check_frequencies
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.data.preprocessing.windows import cut_windows, relocate
from ecgexp.settings.declaration import DataError

BLOCK = 1 << 19
"""Samples of a lead that are preprocessed at once, at the frequency of the windows."""


@dataclass(frozen=True, kw_only=True)
class CutBlock:
    """The windows of consecutive beats.

    Attributes:
      places: (num_beats,) int64, R peaks at the frequency of the windows.
      windows_mv: (num_inside, window, leads) float32, of the beats whose window is inside.
      is_inside: (num_beats,) bool.
      done: Samples of the record, at the frequency of the windows, up to here.
    """

    places: np.ndarray
    windows_mv: np.ndarray
    is_inside: np.ndarray
    done: int


class WindowCutter:
    """Cuts the windows of a record.

    Args:
      streamed: The record.
      columns: Columns of the leads of the model.
      preprocessing: The settings.
      scratch: Folder for a filtered copy of the leads, for `dataset.baseline=bandpass`.

    Raises:
      DataError: The record cannot be resampled or filtered.
    """

    def __init__(
        self,
        streamed: StreamedRecord,
        columns: Sequence[int],
        preprocessing: Preprocessing,
        scratch: Path,
    ):
        check_frequencies(streamed.record, preprocessing)
        self._hz, self._settings = streamed.record.signal_hz, preprocessing
        self._signals, self._columns = streamed.signals, tuple(columns)
        self._reach = 0
        if preprocessing.baseline == "median":
            self._reach = median_reach(self._hz)
        if preprocessing.baseline == "bandpass":
            self._signals = band_passed(
                self._signals, columns, self._hz, preprocessing.bandpass_hz, scratch
            )
            self._columns = tuple(range(len(columns)))
        ratio = resampling_ratio(self._hz, preprocessing.fs_hz)
        self._up, self._down = (
            (1, 1) if self._hz == preprocessing.fs_hz else (ratio.numerator, ratio.denominator)
        )
        self.num_samples = -(-len(self._signals) * self._up // self._down)

    def blocks(
        self, places: np.ndarray, *, first: int = 0, block: int = BLOCK
    ) -> Iterator[CutBlock]:
        """Cut the windows of the beats at `places`.

        Args:
          places: (num_beats,) int64, ascending, as annotated, at the frequency of the windows.
          first: The first beat to cut.
          block: Samples that are preprocessed at once.

        Yields:
          All beats from `first` on, in time order.
        """
        settings = self._settings
        before, after = settings.window_samples
        reach = round(settings.relocate_ms * settings.fs_hz / 1000)
        begin = 0 if not first else int(places[first]) if first < len(places) else self.num_samples
        while begin < self.num_samples:
            end = min(begin + block, self.num_samples)
            # The last block has the beats behind the last sample, too.
            stop = len(places) if end == self.num_samples else int(np.searchsorted(places, end))
            own = places[first:stop]
            if len(own):
                start = max(0, min(int(own[0]), begin) - before - 2 * reach)
                limit = min(self.num_samples, end + after + 2 * reach)
                yield self._cut(own, start, limit, reach, end)
            first, begin = stop, end

    def clean(self, column: int, begin: int, end: int) -> np.ndarray:
        """Return these samples of a lead without baseline, at the frequency of the windows."""
        num_samples = len(self._signals)
        reach = resampling_reach(self._hz, self._settings.fs_hz) + (
            2 if self._up != self._down else 0
        )
        # A multiple of `down`: the phases of the resampling filter are those of the whole lead.
        start = max(0, begin * self._down // self._up - reach) // self._down * self._down
        stop = min(num_samples, -(-end * self._down // self._up) + reach + 1)
        lead_mv = self._without_baseline(column, start, stop)
        resampled = resample(lead_mv, self._hz, self._settings.fs_hz)
        offset = start // self._down * self._up
        return resampled[begin - offset : end - offset]

    def _without_baseline(self, column: int, begin: int, end: int) -> np.ndarray:
        if self._settings.baseline != "median":
            return self._signals.read(self._columns[column], begin, end)
        start, stop = max(0, begin - self._reach), min(len(self._signals), end + self._reach)
        lead_mv = self._signals.read(self._columns[column], start, stop)
        return remove_median_baseline(lead_mv, self._hz)[begin - start : end - start]

    def _cut(self, places: np.ndarray, start: int, limit: int, reach: int, end: int) -> CutBlock:
        leads = [self.clean(column, start, limit) for column in range(len(self._columns))]
        signals_mv = np.stack(leads, axis=1)
        moved = relocate(signals_mv[:, 0], places - start, reach)
        windows, inside = cut_windows(signals_mv, moved, *self._settings.window_samples)
        return CutBlock(places=moved + start, windows_mv=windows, is_inside=inside, done=end)


def band_passed(
    signals: Signals,
    columns: Sequence[int],
    fs_hz: float,
    edges_hz: tuple[float, float],
    scratch: Path,
    *,
    block: int = BLOCK,
) -> StoredSignals:
    """Filter leads as `baseline.bandpass` does, with scratch files.

    Args:
      signals: The leads.
      columns: Those that are filtered.
      fs_hz: Their sampling frequency.
      edges_hz: See `baseline.bandpass`.
      scratch: Folder of the files.
      block: Samples that are filtered at once.

    Returns:
      The filtered leads; one column for each of `columns`.
    """
    leads = []
    for number, column in enumerate(columns):
        path = scratch / f"filtered{number}.f64"
        leads.append(_filtered(signals, column, fs_hz, edges_hz, path, block))
    return StoredSignals(leads=leads, num_samples=len(signals))


def _filtered(
    signals: Signals,
    column: int,
    fs_hz: float,
    edges_hz: tuple[float, float],
    path: Path,
    block: int,
) -> StoredLead:
    """Filter a lead as `scipy.signal.sosfiltfilt` does: extended, forward, backward."""
    from scipy.signal import butter, sosfilt, sosfilt_zi

    sos = np.asarray(butter(2, edges_hz, "bandpass", fs=fs_hz, output="sos"))
    zeros = min(int((sos[:, 2] == 0).sum()), int((sos[:, 5] == 0).sum()))
    edge, length = 3 * (2 * len(sos) + 1 - zeros), len(signals)
    if length <= edge:
        raise DataError(
            f"dataset.bandpass_hz={list(edges_hz)}: {length} samples are too few to be filtered; "
            "use a longer record"
        )
    head = signals.read(column, 0, edge + 1)
    tail = signals.read(column, length - edge - 1, length)
    before, behind = 2 * head[0] - head[edge:0:-1], 2 * tail[-1] - tail[-2 : -(edge + 2) : -1]
    state = sosfilt_zi(sos)
    with path.open("wb+") as file:
        values, state = sosfilt(sos, before, zi=state * before[0])
        for begin in range(0, length, block):
            lead_mv = signals.read(column, begin, min(begin + block, length))
            values, state = sosfilt(sos, lead_mv, zi=state)
            file.write(values.data)
        behind, _ = sosfilt(sos, behind, zi=state)
        _, state = sosfilt(sos, behind[::-1], zi=sosfilt_zi(sos) * behind[-1])
        for begin in reversed(range(0, length, block)):
            file.seek(begin * values.itemsize)
            values = np.frombuffer(
                file.read(min(block, length - begin) * values.itemsize), np.float64
            )
            values, state = sosfilt(sos, values[::-1], zi=state)
            file.seek(begin * values.itemsize)
            file.write(np.ascontiguousarray(values[::-1]).data)
    return StoredLead(path=path, num_samples=length)
