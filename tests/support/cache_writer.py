"""Write beats into a cache until killed: `cache_writer.py FOLDER FIRST`.

Prints `begin NUMBER` and `kept NUMBER`.
"""

import os
import sys
from itertools import count
from pathlib import Path

import numpy as np

from ecgexp.data.beats import BeatSet
from ecgexp.data.preprocessing.cache import CachedBeats, load_or_preprocess


def key_of(number):
    return f"{number:064x}"[::-1]


def beats_of(number, rows=5000):
    """Beats whose every part holds the number; 2 MB by default."""
    names = np.full(rows, f"r{number}")
    beats = BeatSet(
        signals_mv=np.full((rows, 90, 1), number, np.float32),
        rr=np.full((rows, 4), number, np.float32),
        symbols=np.full(rows, "N"),
        record_ids=names,
        patient_ids=names,
        r_samples=np.arange(rows),
        fs_hz=360.0,
        lead_names=("MLII",),
        database="tiny 1",
        digest=key_of(number),
        dropped={"left": number},
    )
    return CachedBeats(beats=beats, warnings=(f"number {number}",))


def main(folder, first):
    for number in count(int(first)):
        beats = beats_of(number)
        os.write(1, f"begin {number}\n".encode())
        load_or_preprocess(Path(folder), key_of(number), lambda beats=beats: beats)
        os.write(1, f"kept {number}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
