"""Measure the preprocessing of all 48 records of MIT-BIH.

    ECGEXP_DATA=… uv run python scripts/benchmarks/preprocessing.py

`straightforward` is a simple script: read both leads in millivolts, two median filters per lead,
one slice per beat, without checks and cache. Each row runs in a new process, so imports are
included; the fastest of `--repeats` runs counts.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ecgexp.cli.streams import command


def ours(root: Path, cache_dir: Path | None, verify: str = "published") -> int:
    from ecgexp.data.datasets.recorded import RecordedDataset

    return len(
        RecordedDataset(root=root, missing_lead="first", cache_dir=cache_dir, verify=verify).load()
    )


def straightforward(root: Path) -> int:
    import wfdb
    from scipy.signal import medfilt

    from ecgexp.data.datasets.catalog import find_database
    from ecgexp.data.datasets.recorded import find_folder

    mitdb = find_database("mitdb")
    folder = find_folder(root, mitdb, mitdb.records, "wfdb")
    windows = []
    for record_id in mitdb.records:
        record = wfdb.rdrecord(str(folder / record_id))
        annotation = wfdb.rdann(str(folder / record_id), "atr")
        leads = [lead - medfilt(medfilt(lead, 71), 215) for lead in record.p_signal.T]
        for sample, symbol in zip(annotation.sample, annotation.symbol, strict=True):
            if symbol in "NLRV/AfFjaEJQeS" and 90 <= sample <= record.sig_len - 90:
                windows.append(
                    np.stack([lead[sample - 90 : sample + 90] for lead in leads], axis=1).astype(
                        np.float32
                    )
                )
    return len(np.stack(windows))


WAYS = {
    "straightforward": lambda root, cache: straightforward(root),
    "cold, headers only": lambda root, cache: ours(root, None, "header"),
    "cold, all SHA-256": lambda root, cache: ours(root, None),
    "cached": lambda root, cache: ours(root, cache),
}


def measure(way: str, root: Path, cache_dir: Path) -> tuple[float, float, int]:
    """Returns elapsed seconds, seconds of processor time (both with imports), and beats."""
    command = [
        sys.executable,
        __file__,
        "--one",
        way,
        "--root",
        str(root),
        "--cache",
        str(cache_dir),
    ]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(output[0]), float(output[1]), int(output[2])


@command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(os.environ.get("ECGEXP_DATA", "data")))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--one", choices=WAYS)
    arguments = parser.parse_args()
    if arguments.one:
        start = time.perf_counter()
        beats = WAYS[arguments.one](arguments.root, arguments.cache)
        print(time.perf_counter() - start, time.process_time(), beats)
        return
    with tempfile.TemporaryDirectory() as cache:
        ours(arguments.root, Path(cache))  # fills this cache and that of the system
        print(f"{'48 records':<26}{'clock s':>8}{'CPU s':>11}{'beats':>9}{'cores':>7}")
        for way in WAYS:
            clock, cpu, beats = min(
                measure(way, arguments.root, Path(cache)) for _ in range(arguments.repeats)
            )
            print(f"{way:<26}{clock:>8.2f}{cpu:>11.2f}{beats:>9}{os.cpu_count():>7}")


if __name__ == "__main__":
    sys.exit(main())
