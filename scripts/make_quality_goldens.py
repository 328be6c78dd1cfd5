"""Compute quality indices with NeuroKit2, to which tests compare those of this project.

NeuroKit2 is no dependency: it is installed for this script alone.

    uv run --with neurokit2==0.3.0 python scripts/make_quality_goldens.py

Writes `tests/support/quality_goldens.json`, for the segments of `quality_signals.py` beside it. The
functions are the parts of `neurokit2.ecg_quality(method="zhao2018")`: `kurtosis` of the lead as it
is, `baseline` with windows of 4096 samples, and the number of peaks of `ecg_peaks` after
`ecg_clean`.
"""

import importlib
import json
import sys
from importlib import metadata
from pathlib import Path

import neurokit2

from ecgexp.cli.streams import command

_SUPPORT = Path(__file__).resolve().parents[1] / "tests" / "support"
sys.path.insert(0, str(_SUPPORT))

from quality_signals import HZ, segments  # noqa: E402


@command
def main() -> None:
    """Write the values."""
    quality = importlib.import_module("neurokit2.ecg.ecg_quality")
    found = {}
    for name, lead_mv in segments().items():
        rate = int(HZ)
        _, peaks = neurokit2.ecg_peaks(
            neurokit2.ecg_clean(lead_mv, sampling_rate=rate), sampling_rate=rate
        )
        found[name] = {
            "kurtosis": float(quality._ecg_quality_kSQI(lead_mv)),  # noqa: SLF001
            "baseline": float(
                quality._ecg_quality_basSQI(lead_mv, sampling_rate=rate, window=4096)  # noqa: SLF001
            ),
            "peaks": len(peaks["ECG_R_Peaks"]),
        }
    values = {"neurokit2": metadata.version("neurokit2"), "segments": found}
    text = json.dumps(values, indent=1) + "\n"
    (_SUPPORT / "quality_goldens.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
