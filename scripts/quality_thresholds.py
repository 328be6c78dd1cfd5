"""Show what the thresholds of signal quality mark on DS1 of mitdb, and what they detect.

The thresholds of `ecgexp.data.quality.segments` are chosen with this script, on DS1 alone: at most
0.5 % of its beats may be marked. It prints the distribution of each index over the beats, the beats
marked for each reason, and the share of segments that are marked when a lead shows noise or no ECG;
`--figure FILE` draws examples of what is marked.

    uv run python scripts/quality_thresholds.py --figure marked.png
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields

import numpy as np

from ecgexp.cli.streams import command
from ecgexp.data.datasets.recorded import RecordedDataset
from ecgexp.data.quality.indices import Indices, filtered, indices_of, kurtosis_of
from ecgexp.data.quality.marks import NO_MARK
from ecgexp.data.quality.segments import mark_segments, segment_length

_QUANTILES = (0.0, 0.0005, 0.001, 0.005, 0.5, 0.995, 0.999, 0.9995, 1.0)
_NOISE_HZ = {
    "white": (0.0, 180.0),
    "muscle (20-150 Hz)": (20.0, 150.0),
    "mains (60 Hz)": (59.5, 60.5),
    "electrode motion (1-10 Hz)": (1.0, 10.0),
    "5-40 Hz": (5.0, 40.0),
}
_MINUTE = 60
_SHOWN = 24

Change = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def noise_of(number: int, hz: float, band: tuple[float, float], rng: np.random.Generator):
    """Return (number,) float64, noise of a band with the power 1; pink for the band (0, 0)."""
    spectrum = np.fft.rfft(rng.normal(size=number))
    bins = np.fft.rfftfreq(number, 1 / hz)
    weights = (bins >= band[0]) & (bins <= band[1])
    if band == (0.0, 0.0):
        weights = np.where(bins >= 0.5, 1 / np.sqrt(np.maximum(bins, 0.5)), 0.0)
    noise = np.fft.irfft(spectrum * weights, number)
    return noise / noise.std()


def _added(band: tuple[float, float], decibels: float) -> Change:
    def change(lead_mv: np.ndarray, hz: float, rng: np.random.Generator) -> np.ndarray:
        power = filtered(lead_mv[None], hz).std()
        return lead_mv + noise_of(len(lead_mv), hz, band, rng) * power / 10 ** (decibels / 20)

    return change


def _pure(band: tuple[float, float]) -> Change:
    return lambda lead_mv, hz, rng: noise_of(len(lead_mv), hz, band, rng) * 0.3


def _drift(lead_mv: np.ndarray, hz: float, rng: np.random.Generator) -> np.ndarray:
    """Return the lead of an electrode that is off: slow drift, and noise of the amplifier."""
    drift = np.cumsum(rng.normal(size=len(lead_mv)))
    return drift / np.ptp(drift) + 0.003 * rng.normal(size=len(lead_mv))


def _falls_off(lead_mv: np.ndarray, hz: float, rng: np.random.Generator) -> np.ndarray:
    """Return a lead that shows nothing in 6 of 10 seconds."""
    seconds = np.arange(len(lead_mv)) / hz
    return np.where(seconds % 10 < 6, 0.002 * rng.normal(size=len(lead_mv)), lead_mv)


def cases() -> dict[str, Change]:
    """Return name -> how a lead is changed."""
    bands = {**_NOISE_HZ, "pink (1/f)": (0.0, 0.0)}
    found: dict[str, Change] = {}
    for decibels in (0, 6, 12):
        for name, band in bands.items():
            found[f"{name} at {decibels} dB"] = _added(band, decibels)
    for name, band in bands.items():
        found[f"only {name}"] = _pure(band)
    return found | {
        "zero": lambda lead_mv, hz, rng: 0 * lead_mv,
        "constant": lambda lead_mv, hz, rng: 0 * lead_mv + 1.3,
        "at the rail": lambda lead_mv, hz, rng: np.full_like(lead_mv, -5.12),
        "clipped after 20-fold gain": lambda lead_mv, hz, rng: np.clip(20 * lead_mv, -1, 1),
        "50-fold gain": lambda lead_mv, hz, rng: 50 * lead_mv,
        "lead off: drift": _drift,
        "lead off: 6 of 10 s": _falls_off,
        "lead off: mains": lambda lead_mv, hz, rng: _pure((59.5, 60.5))(lead_mv, hz, rng),
    }


def leads_of(dataset: RecordedDataset) -> Iterator[tuple[str, np.ndarray, float, np.ndarray]]:
    """Yield record, its lead (num_samples,) in mV, its frequency, and (num_beats,) R peaks."""
    with dataset.open_records() as read:
        for record_id in dataset.records or ():
            record = read(record_id)
            if "MLII" in record.lead_names:
                lead_mv = record.signals_mv[:, record.lead_names.index("MLII")]
                yield record_id, lead_mv, record.signal_hz, record.beat_samples


@command
def main(arguments: list[str] | None = None) -> None:
    """Print the tables, and draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--root", default="data", help="folder of mitdb (ECGEXP_DATA)")
    parser.add_argument("--figure", help="file of the figure of marked segments")
    chosen = parser.parse_args(arguments)
    dataset = RecordedDataset(root=chosen.root, records="ds1")
    values: dict[str, list[np.ndarray]] = {}
    marked: Counter[str] = Counter()
    detected: dict[str, list[np.ndarray]] = {}
    shown: list[tuple[str, np.ndarray]] = []
    num_beats, rng = 0, np.random.default_rng(0)
    for record_id, lead_mv, hz, peaks in leads_of(dataset):
        length = segment_length(hz)
        segments_mv = lead_mv[: len(lead_mv) // length * length].reshape(-1, length)
        places = np.minimum(peaks // length, len(segments_mv) - 1)
        of_segment: Mapping[str, np.ndarray] = {
            field.name: getattr(indices_of(segments_mv, hz), field.name)
            for field in fields(Indices)
        } | {"kurtosis": kurtosis_of(filtered(segments_mv, hz))}
        for name, index in of_segment.items():
            values.setdefault(name, []).append(index[places])
        marks = mark_segments(segments_mv, hz)
        marked.update(marks[places].tolist())
        num_beats += len(peaks)
        for row in np.flatnonzero(marks != NO_MARK):
            title = f"{record_id} {row * 10} s {marks[row]}, {np.sum(places == row)} beats"
            shown.append((title, segments_mv[row]))
        for name, change in cases().items():
            changed = change(lead_mv[: _MINUTE * round(hz)], hz, rng)
            detected.setdefault(name, []).append(mark_segments(changed.reshape(-1, length), hz))
    print(f"DS1, {num_beats} beats\n\nindex, quantiles over beats {_QUANTILES}")
    for name, parts in values.items():
        found = np.quantile(np.concatenate(parts), _QUANTILES)
        print(f"{name:16}", " ".join(f"{value:8.3f}" for value in found))
    total = num_beats - marked.pop(NO_MARK, 0)
    print(f"\nmarked: {total} beats, {100 * total / num_beats:.3f} %; {dict(marked)}")
    print("\nsegments marked, and the reasons")
    for name, parts in detected.items():
        marks = np.concatenate(parts)
        reasons = Counter(marks[marks != NO_MARK].tolist())
        print(f"{name:38} {100 * np.mean(marks != NO_MARK):6.1f} %  {dict(reasons)}")
    if chosen.figure:
        _draw(shown[:: max(1, len(shown) // _SHOWN)][:_SHOWN], chosen.figure)


def _draw(shown: list[tuple[str, np.ndarray]], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(max(1, -(-len(shown) // 2)), 2, figsize=(18, 1.5 * len(shown) / 2))
    for axis, (title, segment_mv) in zip(np.ravel(axes), shown, strict=False):
        axis.plot(segment_mv, linewidth=0.6)
        axis.set_title(title, fontsize=8)
        axis.set_xticks([])
    figure.tight_layout()
    figure.savefig(path, dpi=70)


if __name__ == "__main__":
    main()
