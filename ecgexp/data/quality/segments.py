"""Mark segments of a lead that show no usable ECG, by published indices of signal quality.

| mark | of a segment of 10 s |
| --- | --- |
| `flat` | `range_mv` below 0.05 mV |
| `at the rails` | more than a tenth of the samples at its lowest or highest value |
| `implausible amplitude` | `range_mv` above 15 mV; the largest QRS complexes have about 8 mV |
| `lead off` | flat in half of its seconds; or as below, with `baseline` below 0.2 |
| `noise` | `slow_power` below 0.9; or `contrast` below 9 and `kurtosis` below 10 |
| `implausible rate` | no QRS complex for 4 s, or more than 250 per minute |

The first mark that applies counts. `indices` defines the indices and cites their sources. The
thresholds are constants, chosen on DS1 of mitdb such that at most 0.5 % of its beats are marked, by
`scripts/quality_thresholds.py`; see `docs/reference/signal-quality.md`.

**Guarantees** (`tests/unit/data/quality`): the mark of a segment depends on the samples of its lead
and segment alone, and not on annotations, other segments or other records. It is not computed from
one beat alone, so that a training set from which marked beats are removed needs a guarantee by
record or patient.
"""

from collections.abc import Sequence

import numpy as np

from ecgexp.data.formats.record import Record
from ecgexp.data.quality.indices import filtered, indices_of, kurtosis_of
from ecgexp.data.quality.marks import AMPLITUDE, FLAT, LEAD_OFF, MARKS, NOISE, RAILS, RATE

SEGMENT_S = 10.0

_LEAST_RANGE_MV = 0.05
_HIGHEST_RANGE_MV = 15.0
_MOST_AT_RAILS = 0.1
_MOST_FLAT = 0.5
_LEAST_SLOW_POWER = 0.9
_LEAST_CONTRAST, _LEAST_KURTOSIS = 9.0, 10.0
_LEAST_BASELINE = 0.2
_MOST_PER_MIN = 250.0
_LONGEST_GAP_S = 4.0


def segment_length(fs_hz: float) -> int:
    """Return the number of samples of a segment.

    Args:
      fs_hz: Sampling frequency of the lead.
    """
    return max(1, round(SEGMENT_S * fs_hz))


def mark_segments(segments_mv: np.ndarray, fs_hz: float) -> np.ndarray:
    """Mark segments of a lead; each mark depends on the samples of its own segment alone.

    Args:
      segments_mv: (num_segments, length) float64, millivolts, as recorded. Segments of less than
        10 s are not marked for noise or rate: they are too short for a spectrum.
      fs_hz: Their sampling frequency.

    Returns:
      (num_segments,) str, one of `MARKS`.

    Example:
      >>> mark_segments(np.zeros((1, 3600)), 360.0).tolist()
      ['flat']
    """
    return np.asarray(MARKS)[mark_codes(segments_mv, fs_hz)]


def segment_marks(lead_mv: np.ndarray, fs_hz: float) -> tuple[np.ndarray, int]:
    """Mark all segments of a lead.

    Args:
      lead_mv: (num_samples,) float64, millivolts, as recorded.
      fs_hz: Its sampling frequency.

    Returns:
      marks: (num_segments,) str, see `MARKS`.
      length: Samples of a segment; the last one has up to twice as many.
    """
    codes, length = _of_lead(lead_mv, fs_hz)
    return np.asarray(MARKS)[codes], length


def beat_codes(
    leads_mv: Sequence[np.ndarray], fs_hz: float, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mark of each beat: that of the first of its leads with a mark.

    Args:
      leads_mv: One (num_samples,) float64 for each lead, millivolts, as recorded.
      fs_hz: Their sampling frequency.
      rows: (num_beats,) int64, samples of the R peaks at `fs_hz`.

    Returns:
      codes: (num_beats,) int8, places in `MARKS`; 0 for beats in usable segments.
      leads: (num_beats,) int64, the lead that has the mark; 0 without one.

    Example:
      >>> codes, _ = beat_codes([np.zeros(7200)], 360.0, np.array([100, 5000]))
      >>> [MARKS[code] for code in codes]
      ['flat', 'flat']
    """
    codes, leads, length = _of_segments(leads_mv, fs_hz)
    places = np.clip(rows // length, 0, len(codes) - 1)
    return codes[places], leads[places]


def record_codes(record: Record, columns: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mark of each beat of a record; see `beat_codes`.

    Args:
      record: The record.
      columns: Columns of the leads that are used.

    Returns:
      codes: (num_beats,) int8, places in `MARKS`, for each of `record.beat_samples`.
      leads: (num_beats,) int64, place in `columns` of the lead that has the mark.
    """
    return beat_codes(_leads(record, columns), record.signal_hz, _rows(record))


def codes_and_seconds(
    record: Record, columns: Sequence[int]
) -> tuple[np.ndarray, dict[str, float]]:
    """Return the mark of each beat of a record, and how long its leads show no usable ECG.

    Args:
      record: The record.
      columns: Columns of the leads that are used.

    Returns:
      codes: (num_beats,) int8, places in `MARKS`, for each of `record.beat_samples`.
      seconds: Mark -> seconds of the segments that have it, without zeros.
    """
    codes, _, length = _of_segments(_leads(record, columns), record.signal_hz)
    starts = np.arange(len(codes)) * length
    seconds = np.diff(starts, append=len(record.signals_mv)) / record.signal_hz
    sums = np.bincount(codes, seconds, minlength=len(MARKS)).tolist()
    places = np.clip(_rows(record) // length, 0, len(codes) - 1)
    return codes[places], {
        mark: total for mark, total in zip(MARKS[1:], sums[1:], strict=True) if total
    }


def _leads(record: Record, columns: Sequence[int]) -> list[np.ndarray]:
    return [np.ascontiguousarray(record.signals_mv[:, column]) for column in columns]


def _rows(record: Record) -> np.ndarray:
    return record.beat_samples * record.samples_per_frame


def _of_segments(
    leads_mv: Sequence[np.ndarray], fs_hz: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return (num_segments,) int8 codes, the lead of each, and the samples of a segment."""
    of_leads = [_of_lead(lead_mv, fs_hz) for lead_mv in leads_mv]
    codes, length = of_leads[0]
    leads = np.zeros(len(codes), np.int64)
    for number, (others, _) in enumerate(of_leads[1:], 1):
        is_new = (codes == 0) & (others != 0)
        codes, leads = np.where(is_new, others, codes), np.where(is_new, number, leads)
    return codes, leads, length


def _of_lead(lead_mv: np.ndarray, fs_hz: float) -> tuple[np.ndarray, int]:
    """Return (num_segments,) int8 codes, and the samples of a segment."""
    length = min(segment_length(fs_hz), len(lead_mv))
    if not length:
        return np.zeros(1, np.int8), segment_length(fs_hz)
    number = len(lead_mv) // length
    end = length * (number - 1)
    parts = [lead_mv[:end].reshape(-1, length), lead_mv[None, end:]]
    return np.concatenate([mark_codes(part, fs_hz) for part in parts if len(part)]), length


def mark_codes(segments_mv: np.ndarray, fs_hz: float) -> np.ndarray:
    """Return (num_segments,) int8, places in `MARKS`; see `mark_segments`."""
    found = indices_of(segments_mv, fs_hz)
    is_long = segments_mv.shape[1] >= segment_length(fs_hz)
    codes = np.zeros(len(segments_mv), np.int8)

    def mark(name: str, applies: np.ndarray) -> None:
        codes[(codes == 0) & applies] = MARKS.index(name)

    mark(FLAT, found.range_mv < _LEAST_RANGE_MV)
    mark(RAILS, found.at_rails > _MOST_AT_RAILS)
    mark(AMPLITUDE, found.range_mv > _HIGHEST_RANGE_MV)
    mark(LEAD_OFF, found.flat >= _MOST_FLAT)
    if is_long:
        without_qrs = (codes == 0) & (found.contrast < _LEAST_CONTRAST)
        rows = np.flatnonzero(without_qrs)
        if len(rows):
            without_qrs[rows] = kurtosis_of(filtered(segments_mv[rows], fs_hz)) < _LEAST_KURTOSIS
        mark(LEAD_OFF, without_qrs & (found.baseline < _LEAST_BASELINE))
        mark(NOISE, without_qrs)
        mark(NOISE, found.slow_power < _LEAST_SLOW_POWER)
        too_fast = found.peaks_per_min > _MOST_PER_MIN
        mark(RATE, too_fast | (found.longest_gap_s > _LONGEST_GAP_S))
    return codes
