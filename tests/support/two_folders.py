"""One virtual patient in two recordings, in files like those of mitdb and svdb.

Also beats of two databases.
"""

from dataclasses import dataclass
from unittest import mock

import numpy as np
from scipy.signal import resample_poly

from ecgexp.data.beats import BeatSet
from ecgexp.data.synthetic import signal
from ecgexp.data.synthetic.patient import draw_patient
from ecgexp.data.synthetic.rhythm import draw_rhythm
from ecgexp.data.synthetic.shapes import LEADS
from ecgexp.seeding import Seeds

FINE_HZ = 5760  # 16 times 360, 45 times 128
PATIENTS = range(6)
MITDB_NAMES = ("100", "101", "103", "105", "106", "108")
SVDB_NAMES = ("800", "801", "802", "803", "804", "805")
_NAMES = {360: ("MLII", "V1"), 128: ("ECG1", "ECG2")}
_ADC = {
    360: (11, 1024),
    128: (10, 0),
}  # bits and the value of zero volt, as the headers of mitdb and svdb have them
_HIGHEST_MV = 2.4  # 10 bits at 200 units a millivolt reach 2.56


@dataclass(frozen=True, kw_only=True)
class Heartbeats:
    """The signal of a patient at a much finer rate than any recording.

    Attributes:
      r_s: (num_beats,) seconds from the start.
      symbols: (num_beats,) str.
      signals_mv: (num_samples, 2) at `FINE_HZ`; MLII and V1.
    """

    r_s: np.ndarray
    symbols: np.ndarray
    signals_mv: np.ndarray


def draw_heartbeats(index, *, seconds=30, seed=3):
    """The signal of virtual patient `index`, without noise."""
    seeds = Seeds(seed)
    patient, rng = draw_patient(index, seeds), seeds.generator(f"cross/{index}")
    rhythm = draw_rhythm(patient, duration_s=seconds, rng=rng)
    with mock.patch.object(signal, "FS_HZ", FINE_HZ):
        drawn = signal.draw_signals_mv(
            patient, rhythm, num_samples=seconds * FINE_HZ, noise=0.0, rng=rng
        )
    signals_mv = drawn[:, [LEADS.index("MLII"), LEADS.index("V1")]]
    signals_mv *= min(1.0, _HIGHEST_MV / np.abs(signals_mv).max())
    return Heartbeats(r_s=rhythm.r_s, symbols=rhythm.symbols, signals_mv=signals_mv)


def recorded(drawn, fs_hz):
    """(num_samples, 2) millivolts and (num_beats,) samples of R, as a recorder with an
    anti-aliasing filter has them.
    """
    signals_mv = resample_poly(drawn.signals_mv, 1, FINE_HZ // fs_hz, axis=0)
    return signals_mv, np.round(drawn.r_s * fs_hz).astype(np.int64)


def write_record(folder, record_id, drawn, *, fs_hz, leads=None, gain=200):
    """`.hea`, `.dat` and `.atr`; the header is worded as PhysioNet's are, gain 0 for "not
    calibrated" included.

    Args:
      leads: names of the two signals, in the order of the file; unknown ones are given to the
        signal of their place.
    """
    import wfdb

    folder.mkdir(parents=True, exist_ok=True)
    signals_mv, samples = recorded(drawn, fs_hz)
    bits, zero = _ADC[fs_hz]
    known, leads = _NAMES[fs_hz], leads or _NAMES[fs_hz]
    columns = [known.index(name) if name in known else place for place, name in enumerate(leads)]
    digital = np.clip(
        np.round(zero + 200 * signals_mv), zero - 2 ** (bits - 1), zero + 2 ** (bits - 1) - 1
    )
    digital = digital.astype(np.int64)[:, columns]
    wfdb.wrsamp(
        record_id,
        fs=fs_hz,
        units=["mV"] * 2,
        sig_name=list(leads),
        d_signal=digital,
        fmt=["212"] * 2,
        adc_gain=[200.0] * 2,
        baseline=[zero] * 2,
        write_dir=str(folder),
    )
    lines = [f"{record_id} 2 {fs_hz} {len(digital)}"]
    for lead, values in zip(leads, digital.T, strict=True):
        checksum = int(values.sum().astype(np.int16))
        lines.append(f"{record_id}.dat 212 {gain} {bits} {zero} {values[0]} {checksum} 0 {lead}")
    (folder / f"{record_id}.hea").write_text("\r\n".join([*lines, ""]), newline="")
    wfdb.wrann(record_id, "atr", samples, list(drawn.symbols), write_dir=str(folder))
    return digital


def make_two(mitdb, svdb, *, labels=None, classes=("N", "V"), database="mitdb 1.0.0 -> svdb 1.0.0"):
    """Beats without signal: one row for each record named, those of mitdb first."""
    records = np.asarray(
        [*(f"mitdb/{name}" for name in mitdb), *(f"svdb/{name}" for name in svdb)], np.str_
    )
    rows = len(records)
    labels = np.zeros(rows, np.int64) if labels is None else np.asarray(labels)
    return BeatSet(
        signals_mv=np.zeros((rows, 2, 1), np.float32),
        rr=np.zeros((rows, 4), np.float32),
        symbols=np.asarray(classes)[labels],
        record_ids=records,
        patient_ids=records,
        r_samples=np.arange(rows),
        fs_hz=360.0,
        lead_names=("MLII -> ECG1",),
        database=database,
        digest="0",
        labels=labels,
        class_names=tuple(classes),
        parts=np.asarray(["train"] * len(mitdb) + ["test"] * len(svdb), "<U5"),
    )
