"""Indices of signal quality of segments of a lead, computed for many segments at once.

| index | meaning | source |
| --- | --- | --- |
| `range_mv` | amplitude, 1st to 99th percentile | Clifford et al. 2012 |
| `at_rails` | share of samples at the lowest or highest value | Clifford et al. 2012 |
| `flat` | fSQI: share of seconds in which the lead does not change | Clifford et al. 2012 |
| `slow_power` | share of 1 to 40 Hz in the power above 1 Hz | Li, Mark & Clifford 2008 |
| `baseline` | basSQI: share of 1 to 40 Hz in 0 to 40 Hz | Clifford et al. 2012; Zhao & Zhang 2018 |
| `contrast` | height of QRS complexes, by the quiet time between them | Pan & Tompkins 1985 |
| `peaks_per_min` | heart rate from the number of QRS complexes | Orphanidou et al. 2015, rule 1 |
| `longest_gap_s` | longest time without a QRS complex | Orphanidou et al. 2015, rule 2 |
| `kurtosis` | kSQI | Li, Mark & Clifford 2008 |

`contrast` divides the reference peak of the envelope of 10 ± 3 Hz (the second highest of its maxima
over 2 s) by its lower quartile, as the detector of Pan & Tompkins separates a level of peaks from
one of noise. The definition is our own, and so is that of QRS complexes: the largest value of the
envelope within ± 200 ms, for the rate above 0.3 of the reference peak, for the longest gap above
0.1 of it, since a premature beat may be three times as high as the others.

Pan & Tompkins 1985, doi:10.1109/TBME.1985.325532. Li, Mark & Clifford 2008,
doi:10.1088/0967-3334/29/1/002. Clifford, Behar, Li & Rezek 2012, doi:10.1088/0967-3334/33/9/1419.
Orphanidou et al. 2015, doi:10.1109/JBHI.2014.2338351. Zhao & Zhang 2018,
doi:10.3389/fphys.2018.00727.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.signal
import scipy.stats

HIGHEST_HZ = 180.0
_STEADY_MV = 0.02  # a second that changes by less is flat
_RAMP_S = 0.25  # at both ends of a segment, before its spectrum is computed
_ENVELOPE_HZ = 50.0
_QRS_HZ, _QRS_WIDTH_HZ = 10.0, 3.0  # center and standard deviation of the band of QRS complexes
_REFRACTORY_S = 0.2
_HIGH, _LOW = 0.3, 0.1  # of the reference peak


@dataclass(frozen=True, kw_only=True)
class Indices:
    """Indices of segments, each (num_segments,) float64; see the table of the module.

    Example:
      >>> seconds = np.arange(3600) / 360.0
      >>> found = indices_of((0.1 * np.sin(2 * np.pi * 8 * seconds))[None], 360.0)
      >>> found.slow_power.round(2).tolist(), found.range_mv.round(1).tolist()
      ([1.0], [0.2])
    """

    range_mv: np.ndarray
    at_rails: np.ndarray
    flat: np.ndarray
    slow_power: np.ndarray
    baseline: np.ndarray
    contrast: np.ndarray
    peaks_per_min: np.ndarray
    longest_gap_s: np.ndarray


def indices_of(segments_mv: np.ndarray, fs_hz: float) -> Indices:
    """Compute the indices of segments; each depends on the samples of its own segment alone.

    Args:
      segments_mv: (num_segments, length) float64, millivolts, as recorded.
      fs_hz: Their sampling frequency.

    Returns:
      The indices. Shares of a power that is zero are 1.
    """
    low, high, flat = _extremes(segments_mv, fs_hz)
    at_rails = (segments_mv <= low[:, None]).mean(axis=1)
    at_rails += (segments_mv >= high[:, None]).mean(axis=1)
    spectrum, step_hz = _spectrum(segments_mv, fs_hz)
    highest_hz = min(fs_hz / 2, HIGHEST_HZ)
    to_1, slow, above = _powers(spectrum, step_hz, (1.0, 40.0, highest_hz))
    contrast, peaks_per_min, longest_gap_s = _qrs(spectrum, step_hz, segments_mv.shape[1] / fs_hz)
    return Indices(
        range_mv=_range(segments_mv, fs_hz),
        at_rails=np.minimum(at_rails, 1.0),
        flat=flat,
        slow_power=_share(slow, slow + above),
        baseline=_share(slow, to_1 + slow),
        contrast=contrast,
        peaks_per_min=peaks_per_min,
        longest_gap_s=longest_gap_s,
    )


def filtered(segments_mv: np.ndarray, fs_hz: float) -> np.ndarray:
    """Remove baseline wander and noise outside of 1 to 40 Hz.

    Args:
      segments_mv: (num_segments, length) float64, millivolts.
      fs_hz: Their sampling frequency.

    Returns:
      (num_segments, length) float64, millivolts.
    """
    edges = [1.0, min(40.0, 0.45 * fs_hz)]
    sections = np.asarray(scipy.signal.butter(2, edges, "bandpass", fs=fs_hz, output="sos"))
    centered = segments_mv - np.median(segments_mv, axis=1, keepdims=True)
    return scipy.signal.sosfiltfilt(sections, centered, axis=1)


def kurtosis_of(filtered_mv: np.ndarray) -> np.ndarray:
    """Return kSQI, the kurtosis; a normal distribution has 3.

    Args:
      filtered_mv: (num_segments, length) float64, as returned by `filtered`.

    Returns:
      (num_segments,) float64; infinite for a constant segment.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        found = scipy.stats.kurtosis(filtered_mv, axis=1, fisher=False)
    return np.where(np.isnan(found), np.inf, found)


def _extremes(segments_mv: np.ndarray, fs_hz: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the lowest and highest value of each segment, and its share of flat seconds."""
    length = segments_mv.shape[1]
    second = max(1, min(round(fs_hz), length))
    pieces = segments_mv[:, : length // second * second].reshape(len(segments_mv), -1, second)
    lows, highs = pieces.min(axis=2), pieces.max(axis=2)
    rest = segments_mv[:, length // second * second :]
    low, high = lows.min(axis=1), highs.max(axis=1)
    if rest.shape[1]:
        low, high = np.minimum(low, rest.min(axis=1)), np.maximum(high, rest.max(axis=1))
    return low, high, (highs - lows < _STEADY_MV).mean(axis=1)


def _range(segments_mv: np.ndarray, fs_hz: float) -> np.ndarray:
    """Return the range of 1st to 99th percentile, of about a hundred samples of each second."""
    some = np.array(segments_mv[:, :: max(1, int(fs_hz / 90))], np.float32)
    ends = [round(share * (some.shape[1] - 1)) for share in (0.01, 0.99)]
    some.partition(ends, axis=1)
    return (some[:, ends[1]] - some[:, ends[0]]).astype(np.float64)


def _spectrum(segments_mv: np.ndarray, fs_hz: float) -> tuple[np.ndarray, float]:
    """Return (num_segments, num_bins) complex64, and the distance of two bins in Hz."""
    length = segments_mv.shape[1]
    ramp = max(1, min(round(_RAMP_S * fs_hz), length // 4))
    weights = np.ones(length, np.float32)
    weights[:ramp] = 0.5 - 0.5 * np.cos(np.pi * (np.arange(ramp) + 0.5) / ramp)
    weights[len(weights) - ramp :] = weights[:ramp][::-1]
    level = segments_mv.mean(axis=1, keepdims=True)
    tapered = np.subtract(segments_mv, level, dtype=np.float32, casting="same_kind")
    tapered *= weights
    padded = int(scipy.fft.next_fast_len(length, real=True) or length)
    return np.asarray(scipy.fft.rfft(tapered, padded, axis=1)), fs_hz / padded


def _powers(
    spectrum: np.ndarray, step_hz: float, edges_hz: tuple[float, ...]
) -> tuple[np.ndarray, ...]:
    """Return the power up to the first edge, and between an edge and the next one.

    Args:
      spectrum: (num_segments, num_bins) complex64.
      step_hz: Distance of two bins.
      edges_hz: Ascending.

    Returns:
      For each edge (num_segments,) float64; zero above the frequencies of the spectrum.
    """
    places = [min(round(hz / step_hz), spectrum.shape[1]) for hz in edges_hz]
    bins = zip([0, *places[:-1]], places, strict=True)
    return tuple(
        np.square(np.abs(spectrum[:, first:last])).sum(axis=1, dtype=np.float64)
        for first, last in bins
    )


def _share(inside: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(inside, whole, out=np.ones_like(inside), where=whole > 0)


def _qrs(
    spectrum: np.ndarray, step_hz: float, seconds: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find QRS complexes in the envelope of the band in which they have their power.

    Args:
      spectrum: (num_segments, num_bins) complex64.
      step_hz: Distance of two bins.
      seconds: Length of a segment.

    Returns:
      contrast: (num_segments,) float64, see the module; infinite for a constant segment.
      peaks_per_min: (num_segments,) float64.
      longest_gap_s: (num_segments,) float64, between two peaks, or a peak and an end.
    """
    number = max(1, round(_ENVELOPE_HZ / step_hz))
    used = min(max(1, number // 2), spectrum.shape[1])
    hz = np.arange(used) * step_hz
    weights = np.exp(-0.5 * ((hz - _QRS_HZ) / _QRS_WIDTH_HZ) ** 2).astype(np.float32)
    banded = np.asarray(scipy.fft.ifft(spectrum[:, :used] * weights, number, axis=1))
    banded = banded[:, : max(1, round(seconds * _ENVELOPE_HZ))]
    power = np.square(banded.real) + np.square(banded.imag)
    width = 2 * round(_REFRACTORY_S * _ENVELOPE_HZ) + 1
    is_peak = power == scipy.ndimage.maximum_filter1d(power, width, axis=1, mode="constant")
    windows = np.array_split(power, max(1, round(seconds / 2)), axis=1)
    highest = np.sort([window.max(axis=1) for window in windows], axis=0)
    peak_level = highest[-max(1, 2 * len(windows) // 5)]
    is_high = is_peak & (power > _HIGH**2 * peak_level[:, None])
    is_low = is_peak & (power > _LOW**2 * peak_level[:, None])
    ends = np.ones((len(power), 1), bool)
    rows, places = np.nonzero(np.concatenate([ends, is_low, ends], axis=1))
    gaps = np.diff(places, append=0)  # negative from the end of a segment to the next one
    longest = np.maximum.reduceat(gaps, np.searchsorted(rows, np.arange(len(power))))
    place = power.shape[1] // 4
    quiet = np.partition(power, place, axis=1)[:, place]
    contrast = np.divide(peak_level, quiet, out=np.full(len(peak_level), np.inf), where=quiet > 0)
    return np.sqrt(contrast), 60 * is_high.sum(axis=1) / seconds, longest / _ENVELOPE_HZ
