"""Writes a database of virtual patients as WFDB files (format 212 and `.atr`, as MIT-BIH has them).

The files go through the very same reading, checking and preparing as real ones, so a run without a download exercises
the whole path. Nothing learned from them says anything about hearts: every header states that it is synthetic.
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
"""With this word a comment of every header begins."""

_VIRTUAL_PATIENT = re.compile(r"virtual patient (\S+), seed (\d+)")
GENERATOR_VERSION = 1  # one more whenever the same arguments give other bytes, so that no stale cache is taken for them


@dataclass(frozen=True, kw_only=True)
class SyntheticRecord:
    """One record to be written: whose it is, its name and its leads."""

    record_id: str
    patient_index: int
    leads: tuple[str, str]


def list_records(num_patients: int) -> tuple[SyntheticRecord, ...]:
    """One record for each patient, and two more.

    Patient 1 has a second one, as the man of 201 and 202 of MIT-BIH; the last patient has a second one without MLII (V5
    and V2, as in 102).
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
    """Record -> patient, in the order of the records."""
    return {
        record.record_id: patient_id(record.patient_index) for record in list_records(num_patients)
    }


def version_of(seed: int) -> str:
    """The version of the database that a seed makes: who its virtual patients are depends on the seed alone."""
    return f"(virtual patients, seed {seed})"


def patient_in(comments: Sequence[str]) -> tuple[str, int] | None:
    """The virtual patient and the seed that a header names in its comments; None where it names none."""
    found = [match for comment in comments if (match := _VIRTUAL_PATIENT.fullmatch(comment))]
    return (found[0][1], int(found[0][2])) if found else None


def write_database(
    folder: Path, *, num_patients: int, minutes: float, seed: int, noise: float = 1.0
) -> dict[str, str]:
    """Writes the records, their annotations and `RECORDS` into `folder`.

    The bytes depend on the arguments alone. Three patients are enough for every symbol (N, L, R, V, A, F, /, f), at the
    shortest length too.

    Args:
      folder: where to write; it is made if it is not there.
      num_patients: virtual patients, at least 1; there are two records more than patients, see `list_records`.
      minutes: length of each record, at least `MIN_MINUTES`.
      seed: all randomness comes from it.
      noise: multiplies baseline wander, muscle noise and mains hum.

    Returns:
      record_id -> patient_id, in the order of `RECORDS`.

    Raises:
      ConfigError: a record would be too short to hold every kind of beat.
    """
    if minutes < MIN_MINUTES:
        raise ConfigError(
            f"dataset.minutes={minutes:g} must be at least {MIN_MINUTES} for every kind of beat to fit in"
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
    """Writes `.hea`, `.dat` and `.atr` of one record; values beyond 11 bits stay at the rail, as in a real recorder."""
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
    """The beats, with a rhythm annotation `+` near the start and wherever the pacemaker takes over or hands back."""
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
