"""Write a folder of recordings in every layout and format that is read, of virtual patients.

WFDB and EDF files are written by `wfdb_bytes` and `edf_bytes`, from the specifications; their tests
compare the bytes with files of other libraries where there are any. Annotations are written by
wfdb. The signals are those of the synthetic database, resampled; scores on them mean nothing.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import wfdb
from edf_bytes import edf_file
from scipy.signal import resample_poly
from wfdb_bytes import BITS, header, signal_file, signal_line

from ecgexp.data.synthetic.patient import draw_patient
from ecgexp.data.synthetic.rhythm import draw_rhythm
from ecgexp.data.synthetic.signal import FS_HZ, draw_signals_mv
from ecgexp.seeding import Seeds

LEADS = ("II", "V1")
TWELVE = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
FORMATS = ("8", "16", "24", "32", "61", "80", "160", "212", "310", "311", "508", "516", "524")
GAP_S, NULL_S = 10, 4  # of the discontinuous file; of the null segment
_GAINS = {8: 40, 10: 100, 12: 200, 16: 400, 24: 20_000, 32: 20_000}  # units per mV, by bits
_SEED = 20  # chosen before anything was trained on these recordings


@dataclass(frozen=True)
class Recording:
    """What a file must be read as.

    Attributes:
      name: Path of the record in the folder, without suffix.
      patient: Id of its patient.
      fs_hz: Frequency of the lead.
      lead_mv: (samples,) float64, lead II, which every recording has, before it was rounded.
      gap: First sample without value, and the one after the last; None: there is no gap.
      step_mv: Resolution of the file.
      beats: (beats,) int64, samples of the R peaks.
      symbols: (beats,) str.
    """

    name: str
    patient: str
    fs_hz: int
    lead_mv: np.ndarray
    gap: tuple[int, int] | None
    step_mv: float
    beats: np.ndarray
    symbols: np.ndarray


@dataclass(frozen=True)
class Drawn:
    """A virtual patient's leads at one frequency, and the beats."""

    fs_hz: int
    leads_mv: dict[str, np.ndarray]
    beats: np.ndarray
    symbols: np.ndarray

    def rows(self, names):
        """(samples, leads) millivolts."""
        return np.stack([self.leads_mv[name] for name in names], axis=1)


def draw(number: int, fs_hz: int, seconds: int, *, part: int = 0) -> Drawn:
    """Draw a recording of a patient; I and V3 to V6 are made of the leads of virtual patients."""
    patient = draw_patient(number, Seeds(_SEED))
    rng = Seeds(_SEED).generator(f"mixed/{number}/{part}")
    rhythm = draw_rhythm(patient, duration_s=seconds, rng=rng)
    drawn = draw_signals_mv(patient, rhythm, num_samples=seconds * FS_HZ, noise=1.0, rng=rng)
    ratio = Fraction(fs_hz, FS_HZ)
    ii, v1, v2, v5 = resample_poly(drawn, ratio.numerator, ratio.denominator, axis=0).T
    i = 0.5 * v5
    leads = {"I": i, "II": ii, "III": ii - i, "aVR": -(i + ii) / 2, "aVL": i - ii / 2}
    leads |= {"aVF": ii - i / 2, "V1": v1, "V2": v2, "V3": (2 * v2 + v5) / 3}
    leads |= {"V4": (v2 + 2 * v5) / 3, "V5": v5, "V6": 0.8 * v5}
    beats = np.rint(rhythm.r_s * fs_hz).astype(np.int64)
    return Drawn(fs_hz=fs_hz, leads_mv=leads, beats=beats, symbols=rhythm.symbols)


def write_mixed_folder(folder: Path, *, seconds: int = 60) -> list[Recording]:
    """Write the recordings, and `patients.csv` with the patient of each.

    Args:
      folder: An empty or missing folder.
      seconds: Length of each recording, a multiple of 10 from 30 on.

    Returns:
      What each must be read as.
    """
    write = _Writer(folder, seconds)
    for number, fmt in enumerate(FORMATS):
        write.wfdb(f"formats/format{fmt}", number, fmt=fmt)
    write.wfdb("clinic/twelve_leads", 13, fs_hz=250, names=TWELVE, fmt="16")
    # A second recording of a patient, as in a follow-up.
    write.wfdb("clinic/follow_up", 13, fs_hz=250, names=TWELVE, fmt="24", part=1)
    write.wfdb("holter/two_leads", 14, fs_hz=128, fmt="212")
    write.frames("holter/frames", 15)
    write.wfdb("holter/skew", 16, fmt="212", skew=9)
    write.wfdb("holter/no_length", 17, fmt="16", has_length=False)
    write.wfdb("holter/labels_in_notes", 18, fmt="212", in_notes=True)
    write.segments("monitor/fixed", 19)
    write.segments("monitor/variable", 20, is_variable=True)
    write.edf("edf/one_lead.edf", 21, names=LEADS[:1], beside=True)
    write.edf("edf/annotated.edf", 22, kind="EDF+C")
    write.edf("edf/interrupted.edf", 23, kind="EDF+D")
    write.edf("edf/biosemi.bdf", 24, kind="BDF+C")
    write.csv("tables/samples", 25)
    lines = [f"{each.name},{each.patient}\n" for each in write.made]
    (folder / "patients.csv").write_text("".join(["record,patient\n", *lines]))
    return write.made


class _Writer:
    def __init__(self, folder: Path, seconds: int):
        self._folder, self._seconds = folder, seconds
        self.made: list[Recording] = []

    def _draw(self, number: int, fs_hz: int, *, part: int = 0) -> Drawn:
        return draw(number, fs_hz, self._seconds, part=part)

    def _path(self, name: str) -> Path:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _add(self, name, number, drawn, *, step_mv, gap=None):
        self.made.append(
            Recording(
                name=name,
                patient=f"p{number:02d}",
                fs_hz=drawn.fs_hz,
                lead_mv=drawn.leads_mv["II"],
                gap=gap,
                step_mv=step_mv,
                beats=drawn.beats,
                symbols=drawn.symbols,
            )
        )

    def _annotate(self, path: Path, drawn: Drawn, *, in_notes=False):
        symbols = ['"'] * len(drawn.beats) if in_notes else drawn.symbols.tolist()
        notes = drawn.symbols.tolist() if in_notes else [""] * len(drawn.beats)
        wfdb.wrann(
            path.name, "atr", drawn.beats, symbols, aux_note=notes, write_dir=str(path.parent)
        )

    def _write_signals(self, path, fmt, drawn, names, *, skew=0, has_length=True, rows=None):
        """Write header and signal file, and return the resolution."""
        gain = _GAINS[BITS[fmt]]
        signals = _steps(drawn.rows(names) if rows is None else rows, fmt, gain).T
        # A skewed signal, here the first, is late in the file, which lacks its last samples.
        stored = [np.roll(signals[0], skew), *signals[1:]]
        path.with_suffix(".dat").write_bytes(signal_file(fmt, stored))
        lines = [
            signal_line(f"{path.name}.dat", fmt, each, name, gain=f"{gain}(0)/mV")
            for name, each in zip(names, stored, strict=True)
        ]
        if skew:
            lines[0] = lines[0].replace(f" {fmt} ", f" {fmt}:{skew} ", 1)
        length = len(signals[0]) if has_length else None
        path.with_suffix(".hea").write_text(
            header(path.name, fs_hz=drawn.fs_hz, num_frames=length, lines=lines)
        )
        return 1 / gain

    def wfdb(self, name, number, *, fs_hz=360, names=LEADS, fmt, in_notes=False, part=0, **values):
        """Write a record with one signal file."""
        drawn = self._draw(number, fs_hz, part=part)
        path = self._path(name)
        step_mv = self._write_signals(path, fmt, drawn, names, **values)
        self._annotate(path, drawn, in_notes=in_notes)
        samples, skew = self._seconds * fs_hz, values.get("skew", 0)
        self._add(
            name, number, drawn, step_mv=step_mv, gap=(samples - skew, samples) if skew else None
        )

    def frames(self, name, number):
        """Write 4 samples of II in each frame of 90 Hz, and one of the blood pressure in mmHg."""
        drawn = self._draw(number, 360)
        path = self._path(name)
        lead = _steps(drawn.rows(LEADS[:1]), "16", 400)[:, 0]
        pressure = np.rint(90 + 20 * np.sin(np.arange(len(lead) // 4) / 15)).astype(np.int64)
        path.with_suffix(".dat").write_bytes(signal_file("16", [lead, pressure], [4, 1]))
        lines = [
            signal_line(f"{path.name}.dat", "16", lead, "II", per_frame=4, gain="400(0)/mV"),
            signal_line(f"{path.name}.dat", "16", pressure, "ABP", gain="1(0)/mmHg"),
        ]
        path.with_suffix(".hea").write_text(
            header(path.name, fs_hz=90, num_frames=len(pressure), lines=lines)
        )
        frames = Drawn(
            fs_hz=90, leads_mv=drawn.leads_mv, beats=drawn.beats // 4, symbols=drawn.symbols
        )
        self._annotate(path, frames)
        self._add(name, number, frames, step_mv=1 / 400)

    def segments(self, name, number, *, is_variable=False):
        """Write three parts; in the variable layout a null segment, V1 in the last part."""
        drawn = self._draw(number, 360)
        path, third = self._path(name), self._seconds * 360 // 3
        gap = (third, third + NULL_S * 360) if is_variable else None
        begins = [0, gap[1] if gap else third, 2 * third, self._seconds * 360]
        lines = []
        for part, (begin, end) in enumerate(zip(begins[:-1], begins[1:], strict=True)):
            names = LEADS[:1] if is_variable and part < 2 else LEADS
            end = third if part == 0 else end
            segment = path.with_name(f"{path.name}_{part}")
            self._write_signals(segment, "16", drawn, names, rows=drawn.rows(names)[begin:end])
            lines.append(f"{segment.name} {end - begin}")
            if gap and part == 0:
                lines.append(f"~ {gap[1] - gap[0]}")
        if is_variable:
            lines.insert(0, f"{path.name}_layout 0")
            described = [f"~ 0 400(0)/mV 12 0 0 0 0 {lead}" for lead in LEADS]
            path.with_name(f"{path.name}_layout.hea").write_text(
                header(f"{path.name}_layout", fs_hz=360, num_frames=0, lines=described)
            )
        head = f"{path.name}/{len(lines)} 2 360 {self._seconds * 360}"
        path.with_suffix(".hea").write_text("\n".join([head, *lines]) + "\n")
        self._annotate(path, drawn)
        self._add(name, number, drawn, step_mv=1 / 400, gap=gap)

    def edf(self, name, number, *, names=LEADS, kind="", beside=False):
        """Write a file; a discontinuous one lacks the 10 s from 10 s on."""
        drawn = self._draw(number, 360)
        path, is_bdf = self._path(name), name.endswith(".bdf")
        limit, step, units = (2**23, 1e-6, "nV") if is_bdf else (2**15, 1e-3, "uV")
        kept = np.arange(0, self._seconds, 10)
        is_cut = kind.endswith("D")
        if is_cut:
            kept = kept[kept != GAP_S]
        rows = (kept[:, None] * 360 + np.arange(3600)).reshape(-1)
        low, high = -limit, limit - 1
        texts = [
            (at / 360, symbol)
            for at, symbol in zip(drawn.beats.tolist(), drawn.symbols.tolist(), strict=True)
        ]
        path.write_bytes(
            edf_file(
                [
                    {
                        "digital": np.rint(drawn.leads_mv[lead][rows] / step).astype(np.int64),
                        "samples": 3600,
                        "label": f"ECG {lead}",
                        "limits": (low, high),
                        "physical": (low, high),
                        "units": units,
                    }
                    for lead in names
                ],
                kind=kind,
                record_s=10,
                begins=kept.tolist(),
                annotations=texts if kind else (),
                version=b"\xffBIOSEMI" if is_bdf else b"0",
                annotation_bytes=30 * (len(texts) + 2),
                label=b"BDF Annotations" if is_bdf else b"EDF Annotations",
            )
        )
        if beside:
            lines = [
                f"{at},{symbol}\n" for at, symbol in zip(drawn.beats, drawn.symbols, strict=True)
            ]
            path.with_suffix(".csv").write_text("".join(["sample,symbol\n", *lines]))
        gap = (GAP_S * 360, 2 * GAP_S * 360) if is_cut else None
        self._add(name.rpartition(".")[0], number, drawn, step_mv=step, gap=gap)

    def csv(self, name, number):
        """Write times in milliseconds and two leads, with a table of annotations."""
        drawn = self._draw(number, 250)
        path = self._path(name)
        rows = [
            f"{4 * at},{ii:.3f},{v1:.3f}\n"
            for at, (ii, v1) in enumerate(drawn.rows(LEADS).tolist())
        ]
        path.with_suffix(".csv").write_text("".join(["time_ms,II (mV),V1 (mV)\n", *rows]))
        lines = [f"{at},{symbol}\n" for at, symbol in zip(drawn.beats, drawn.symbols, strict=True)]
        path.with_name(f"{path.name}_annotations.csv").write_text(
            "".join(["sample,symbol\n", *lines])
        )
        self._add(name, number, drawn, step_mv=1e-3)


def _steps(rows_mv, fmt, gain):
    """The digital values of leads, within the range of the format."""
    top = 2 ** (BITS[fmt] - 1) - 1
    steps = np.rint(rows_mv * gain).astype(np.int64)
    if fmt != "8":
        return np.clip(steps, -top, top)
    # Each step of format 8 has 8 bits.
    assert np.abs(np.diff(steps, axis=0)).max() < 128
    return steps
