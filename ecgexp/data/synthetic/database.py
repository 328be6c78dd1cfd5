"""Write a database of virtual patients as WFDB files (format 212 and `.atr`, like MIT-BIH).

The files are read, checked and preprocessed like recorded ones, so that a run without a download
uses the same code. Results on them have no clinical meaning; every header states that the record is
synthetic.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgexp.data.synthetic.patient import VirtualPatient, draw_patient, patient_id
from ecgexp.data.synthetic.rhythm import Rhythm, draw_rhythm
from ecgexp.data.synthetic.shapes import LEADS
from ecgexp.data.synthetic.signal import FS_HZ, draw_signals_mv
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError

GAIN, BASELINE, BITS = 200, 1024, 11
MIN_MINUTES = 0.4
SYNTHETIC = "SYNTHETIC"
"""First word of a comment in every header."""

_VIRTUAL_PATIENT = re.compile(r"virtual patient (\S+), seed (\d+)")
# Increase it when the same arguments give other bytes, so that cached files are written again.
GENERATOR_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class SyntheticRecord:
    """A record to be written.

    Attributes:
      record_id: Its name.
      patient_index: Index of its patient, from 0.
      leads: Names of its two leads.
    """

    record_id: str
    patient_index: int
    leads: tuple[str, str]


def list_records(num_patients: int) -> tuple[SyntheticRecord, ...]:
    """List the records: one for each patient, and two more.

    The first patient has a second record, like the patient of records 201 and 202 of MIT-BIH; the
    last patient has a second record without MLII (V5 and V2, like record 102).

    Args:
      num_patients: Number of patients.

    Returns:
      The records, in order.
    """
    leads = ("MLII", "V1")
    portions = [
        (0, leads),
        *((index, leads) for index in range(num_patients)),
        (num_patients - 1, ("V5", "V2")),
    ]
    return tuple(
        SyntheticRecord(record_id=f"s{number:03d}", patient_index=index, leads=names)
        for number, (index, names) in enumerate(portions, start=1)
    )


def patients_of(num_patients: int) -> dict[str, str]:
    """Return record -> patient, in the order of the records."""
    return {
        record.record_id: patient_id(record.patient_index) for record in list_records(num_patients)
    }


def version_of(seed: int) -> str:
    """Return the version of the database of a seed, which alone determines its patients."""
    return f"(virtual patients, seed {seed})"


def patient_in(comments: Sequence[str]) -> tuple[str, int] | None:
    """Return the virtual patient and the seed in the comments of a header, or None."""
    found = [match for comment in comments if (match := _VIRTUAL_PATIENT.fullmatch(comment))]
    return (found[0][1], int(found[0][2])) if found else None


def write_database(
    folder: Path, *, num_patients: int, minutes: float, seed: int, noise: float = 1.0
) -> dict[str, str]:
    """Write the records, their annotations and `RECORDS` into `folder`.

    **Guarantees**: The bytes depend on the arguments alone. With three or more patients, all
    symbols (N, L, R, V, A, F, /, f) occur, also at the shortest length
    (`tests/unit/data/synthetic/test_synthetic_files.py`).

    Args:
      folder: Folder of the files; created if it is missing.
      num_patients: Number of virtual patients, at least 1. There are two records more than
        patients, see `list_records`.
      minutes: Length of each record, at least `MIN_MINUTES`.
      seed: Seed of all random draws.
      noise: Factor of baseline wander, muscle noise and powerline interference.

    Returns:
      record_id -> patient_id, in the order of `RECORDS`.

    Raises:
      ConfigError: The records would be too short for every kind of beat.
    """
    if minutes < MIN_MINUTES:
        raise ConfigError(
            f"dataset.minutes={minutes:g}: too short for every kind of beat; "
            f"use dataset.minutes={MIN_MINUTES} or more"
        )
    folder.mkdir(parents=True, exist_ok=True)
    seeds = Seeds(seed)
    patients = [draw_patient(index, seeds) for index in range(num_patients)]
    for record in list_records(num_patients):
        patient = patients[record.patient_index]
        rng = seeds.generator(f"synthetic/record/{record.record_id}")
        rhythm = draw_rhythm(patient, duration_s=60 * minutes, rng=rng)
        num_samples = round(60 * minutes * FS_HZ)
        signals_mv = draw_signals_mv(patient, rhythm, num_samples=num_samples, noise=noise, rng=rng)
        columns = [LEADS.index(lead) for lead in record.leads]
        _write_record(folder, record, patient, rhythm, signals_mv[:, columns], seed)
    patients = patients_of(num_patients)
    (folder / "RECORDS").write_text(
        "".join(f"{record_id}\n" for record_id in patients), encoding="ascii"
    )
    return patients


def _write_record(
    folder: Path,
    record: SyntheticRecord,
    patient: VirtualPatient,
    rhythm: Rhythm,
    signals_mv: np.ndarray,
    seed: int,
) -> None:
    """Write `.hea`, `.dat` and `.atr` of one record; values beyond 11 bits are clipped."""
    import wfdb

    steps = np.clip(np.round(BASELINE + GAIN * signals_mv), 0, 2**BITS - 1).astype(np.int64)
    header = wfdb.Record(
        record_name=record.record_id,
        n_sig=2,
        fs=FS_HZ,
        sig_len=len(steps),
        d_signal=steps,
        sig_name=list(record.leads),
        fmt=["212"] * 2,
        file_name=[f"{record.record_id}.dat"] * 2,
        adc_gain=[float(GAIN)] * 2,
        baseline=[BASELINE] * 2,
        units=["mV"] * 2,
        adc_res=[BITS] * 2,
        adc_zero=[BASELINE] * 2,
        init_value=steps[0].tolist(),
        checksum=[int(total) for total in steps.sum(axis=0).astype(np.int16)],
        block_size=[0] * 2,
        comments=[
            f"{SYNTHETIC}: drawn by ecgexp, no heart made this record",
            f"virtual patient {patient.patient_id}, seed {seed}",
            "sum of Gaussians after ECGSYN (McSharry et al. 2003)",
        ],
    )
    header.wrsamp(write_dir=str(folder))
    samples, symbols, notes = _annotations(rhythm)
    wfdb.wrann(record.record_id, "atr", samples, symbols, aux_note=notes, write_dir=str(folder))


def _annotations(rhythm: Rhythm) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return samples, symbols and notes of all annotations of a record.

    In addition to the beats, there is a rhythm annotation `+` near the start and at every change
    between paced and intrinsic rhythm.
    """
    beats = np.round(rhythm.r_s * FS_HZ).astype(np.int64)
    paced = rhythm.conduction == "/"
    changes = 1 + np.flatnonzero(paced[1:] != paced[:-1])
    starts = np.concatenate([[18], (beats[changes - 1] + beats[changes]) // 2])
    codes = ["(P" if paced[beat] else "(N" for beat in [0, *changes]]
    samples = np.concatenate([starts, beats])
    order = np.argsort(samples, kind="stable")
    symbols = np.concatenate([np.full(len(starts), "+"), rhythm.symbols])
    notes = [*codes, *[""] * len(beats)]
    return samples[order], symbols[order], [notes[i] for i in order]
