"""Helpers: tiny records written by wfdb, and beats without signal."""

import numpy as np

from ecgexp.data.beats import BeatSet
from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.database_source import DatabaseSource

TINY = Database(
    name="tiny",
    version="1",
    title="Tiny",
    fs_hz=360.0,
    records=("a", "b"),
    lead_names=("MLII", "V1"),
    adc_gain=100.0,
    adc_zero=0,
    remedy="write it again",
)


def tiny_source(folder, records=("a",), *, database=TINY, **changes):
    """The records of a folder, as records of `TINY`."""
    return DatabaseSource(database=database, folder=folder, records=records, **changes)


def write_record(
    folder,
    record_id="a",
    *,
    leads=("MLII", "V1"),
    samples=(200, 500, 800),
    symbols=("N", "V", "N"),
    seed=0,
):
    """3 s of noise round 1024 with three beats."""
    import wfdb

    digital = 1024 + np.random.default_rng(seed).integers(-200, 200, (1080, len(leads)))
    wfdb.wrsamp(
        record_id,
        fs=360,
        units=["mV"] * len(leads),
        sig_name=list(leads),
        d_signal=digital,
        fmt=["212"] * len(leads),
        adc_gain=[200.0] * len(leads),
        baseline=[1024] * len(leads),
        write_dir=str(folder),
    )
    wfdb.wrann(record_id, "atr", np.asarray(samples), list(symbols), write_dir=str(folder))
    return digital


def make_beats(
    records,
    *,
    patients=None,
    labels=None,
    classes=("N", "V"),
    database="synthetic 1",
    r_samples=None,
    parts=None,
):
    """Beats without signal: one row for each entry of `records`."""
    rows = len(records)
    records = np.asarray(records, np.str_)
    labels = np.zeros(rows, np.int64) if labels is None else np.asarray(labels)
    return BeatSet(
        signals_mv=np.zeros((rows, 2, 1), np.float32),
        rr=np.zeros((rows, 4), np.float32),
        symbols=np.asarray(classes)[labels],
        record_ids=records,
        patient_ids=records if patients is None else np.asarray(patients, np.str_),
        r_samples=np.arange(rows) if r_samples is None else np.asarray(r_samples),
        fs_hz=360.0,
        lead_names=("MLII",),
        database=database,
        digest="0",
        labels=labels,
        class_names=tuple(classes),
        **({} if parts is None else {"parts": parts}),
    )
