"""Score the detector of heartbeats on the records of a database, first lead, within 150 ms.

uv run python scripts/detector_scores.py data/mitdb/1.0.0 [--gqrs]
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from ecgexp.cli.streams import command
from ecgexp.data.formats.single_record import read_single
from ecgexp.data.preprocessing.qrs_detection import detect_beats
from ecgexp.evaluation.beat_matching import match_beats


def gqrs_peaks(lead_mv: np.ndarray, fs_hz: float) -> np.ndarray:
    """Return detections of wfdb's gqrs, each moved to the peak by 35 ms."""
    from wfdb.processing import gqrs_detect

    found = np.asarray(gqrs_detect(sig=lead_mv, fs=fs_hz, adc_gain=200, adc_zero=0), np.int64)
    return np.unique(found + round(0.035 * fs_hz))


@command
def main() -> None:
    """Print a line for each record, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gqrs", action="store_true", help="score wfdb's gqrs instead")
    options = parser.parse_args()
    detect = gqrs_peaks if options.gqrs else detect_beats
    sums = np.zeros(3, np.int64)
    for name in (options.folder / "RECORDS").read_text(encoding="utf-8").split():
        record, _ = read_single(options.folder / name, annotator="atr")
        found = match_beats(
            record.beat_samples, detect(record.signals_mv[:, 0], record.signal_hz), record.fs_hz
        )
        sums += [found.num_matched, len(found.partners), found.num_detected]
        print(f"{name}: {found.sensitivity:.4f} {found.positive_predictivity:.4f}")
    print(f"sensitivity {sums[0] / sums[1]:.4f}, positive predictivity {sums[0] / sums[2]:.4f}")


if __name__ == "__main__":
    sys.exit(main())
