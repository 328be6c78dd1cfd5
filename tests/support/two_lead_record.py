"""A synthetic record at 180 Hz with sinus, premature narrow and wide beats, for features."""

import numpy as np

from ecgexp.data.preprocessing.windows import cut_windows, rr_features, template
from ecgexp.features.record_beats import RecordBeats

FS_HZ, WINDOW_MS = 180.0, (360.0, 560.0)
BEFORE, AFTER = 65, 101  # samples of WINDOW_MS


def signal_and_beats(seed=0, num_beats=160):
    """(samples, 2) mV, and (num_beats,) samples of R peaks: one beat in nine early, one wide."""
    rng = np.random.default_rng(seed)
    intervals = 0.8 + 0.02 * rng.standard_normal(num_beats)
    kinds = rng.choice(3, num_beats, p=[0.8, 0.1, 0.1])  # sinus, early, early and wide
    kinds[:4] = kinds[-4:] = 0
    intervals[kinds > 0] *= 0.7
    intervals[1:][kinds[:-1] > 0] *= 1.25
    samples = np.round((1.0 + np.cumsum(intervals)) * FS_HZ).astype(np.int64)
    at = np.arange(samples[-1] + 180)[:, None]
    signal = 0.01 * rng.standard_normal((len(at), 2))
    for sample, kind in zip(samples, kinds, strict=True):
        t = (at[sample - 60 : sample + 100] - sample) * 1000 / FS_HZ
        width = 35 if kind == 2 else 12
        bumps = [(0, width, 1.0), (220, 40, 0.3)] + ([] if kind == 2 else [(-150, 20, 0.15)])
        for center, spread, size in bumps:
            shape = size * np.exp(-0.5 * ((t - center) / spread) ** 2)
            signal[sample - 60 : sample + 100] += shape * np.array([1.0, -0.4 - 0.3 * (kind == 2)])
    return signal, samples


def record_beats(signal, samples, *, fs_hz=FS_HZ):
    """The beats whose windows are inside the record."""
    windows, inside = cut_windows(signal, samples, BEFORE, AFTER)
    return RecordBeats(
        seconds=samples / fs_hz,
        rows=np.flatnonzero(inside),
        signals_mv=windows,
        rr=rr_features(samples, fs_hz)[inside],
        template_mv=template(windows),
    )
