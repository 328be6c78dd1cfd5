"""Small valid records of every layout, each with its reader and its correct content."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import wfdb
from pydantic import Field

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats import csv_reader, wfdb_reader
from ecgexp.data.formats.record import Record
from ecgexp.data.formats.single_record import read_single
from ecgexp.data.preprocessing.settings import Layout
from ecgexp.data.synthetic.database import (
    BASELINE,
    FS_HZ,
    GAIN,
    MIN_MINUTES,
    patients_of,
    write_database,
)
from ecgexp.data.synthetic.shapes import LEADS
from ecgexp.settings.declaration import settings
from ecgexp.storage.digests import file_sha256


@settings
class Known(Database):
    """A database with known SHA-256 of its files, as for MIT-BIH."""

    sha256: Mapping[str, str] = Field(default_factory=dict)

    def published_sha256(self) -> Mapping[str, str]:
        """File name -> SHA-256."""
        return self.sha256


@dataclass(frozen=True, kw_only=True)
class Case:
    """One record.

    Attributes:
      name: name of the case.
      record_id: name of the record.
      files: file name -> content; the record's own files, then those of another record.
      database: its database.
      layout: layout of the files; None: the record is read by its path, as `ecgexp-predict` does.
      truth: content of the valid files.
    """

    name: str
    record_id: str
    files: Mapping[str, bytes]
    database: Known
    layout: Layout | None
    truth: Record

    def read(self, folder: Path) -> Record:
        """Reads the record with the reader that is tested."""
        return _reader(self.layout, self.record_id, self.database)(folder)


def _reader(layout: Layout | None, record_id: str, database: Database) -> Callable[[Path], Record]:
    if layout is None:
        return lambda folder: read_single(folder / record_id, annotator="atr")[0]
    module = {"wfdb": wfdb_reader, "kaggle_csv": csv_reader}[layout]
    return lambda folder: module.read_record(folder, record_id, database)


def make_cases() -> tuple[Case, ...]:
    """Makes the valid records; their bytes are always the same."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        cases = [_synthetic(folder / "synthetic"), _kaggle(folder / "kaggle")]
        cases += [_tiny(folder / fmt, fmt) for fmt in ("212", "16", "24", "32", "80")]
        cases += [_converted(folder / fmt, fmt) for fmt in ("8", "61", "310", "16x2")]
        cases += [
            _with_patient(folder / "patient"),
            replace(_tiny(folder / "alone", "212"), name="alone", layout=None),
        ]
        return tuple(cases)


def _case(
    folder: Path, name: str, record_id: str, other: str, database: Known, layout: Layout = "wfdb"
) -> Case:
    own = (
        wfdb_reader.files_of(folder, record_id)
        if layout == "wfdb"
        else csv_reader.files_of(folder, record_id)
    )
    others = (
        wfdb_reader.files_of(folder, other)
        if layout == "wfdb"
        else csv_reader.files_of(folder, other)
    )
    sums = {path.name: file_sha256(path) for path in own}
    database = replace(database, sha256=sums)
    return Case(
        name=name,
        record_id=record_id,
        files={path.name: path.read_bytes() for path in (*own, *others)},
        database=database,
        layout=layout,
        truth=_reader(layout, record_id, database)(folder),
    )


def _synthetic(folder: Path) -> Case:
    write_database(folder, num_patients=1, minutes=MIN_MINUTES, seed=0)
    database = Known(
        name="synthetic",
        version="0",
        title="Virtual",
        fs_hz=float(FS_HZ),
        records=tuple(patients_of(1)),
        lead_names=LEADS,
        adc_gain=float(GAIN),
        adc_zero=BASELINE,
        same_patient=patients_of(1),
        remedy="write it again",
    )
    return _case(folder, "synthetic", "s001", "s003", database)


_TINY = Known(
    name="tiny",
    version="1",
    title="Tiny",
    fs_hz=360.0,
    records=("a", "b"),
    lead_names=("MLII", "V1"),
    num_samples=720,
    adc_gain=200.0,
    adc_zero=1024,
    remedy="write it again",
)
_SAMPLES = {"a": (20, 150, 290, 430, 560, 700), "b": (30, 170, 300, 410, 550)}
_SYMBOLS = {"a": "+NVNAN", "b": "+LL/L"}


def _digital(record_id: str, fmt: str) -> np.ndarray:
    """Returns (720, 2) integers within the range of the format, with a peak at every beat."""
    middle, height = (0, 90) if fmt in ("80", "converted") else (1024, 300)
    digital = middle + np.random.default_rng(len(fmt)).integers(-30, 30, (720, 2))
    digital[list(_SAMPLES[record_id])] += height // 2
    return digital


def _write_tiny(folder: Path, fmt: str, comments: list[str], *, is_small: bool = False) -> None:
    folder.mkdir(parents=True)
    for record_id, samples in _SAMPLES.items():
        digital = _digital(record_id, "converted" if is_small else fmt)
        baseline = 0 if fmt == "80" or is_small else 1024
        wfdb.wrsamp(
            record_id,
            fs=360,
            units=["mV", "mV"],
            sig_name=["MLII", "V1"],
            d_signal=digital,
            fmt=[fmt] * 2,
            adc_gain=[200.0] * 2,
            baseline=[baseline] * 2,
            comments=comments,
            write_dir=str(folder),
        )
        notes = ["(N", *[""] * (len(samples) - 2), "note"]
        wfdb.wrann(
            record_id,
            "atr",
            np.asarray(samples),
            list(_SYMBOLS[record_id]),
            chan=np.asarray([0, *[1] * (len(samples) - 1)]),
            aux_note=notes,
            fs=360,
            write_dir=str(folder),
        )


def _tiny(folder: Path, fmt: str) -> Case:
    _write_tiny(folder, fmt, ["a comment", "another"])
    return _case(folder, f"format {fmt}", "a", "b", _TINY)


def _converted(folder: Path, fmt: str) -> Case:
    """Rewrites the files of format 16 in a format that wfdb does not write."""
    _write_tiny(folder, "16", ["a comment"], is_small=True)
    for record_id in _SAMPLES:
        header, path = folder / f"{record_id}.hea", folder / f"{record_id}.dat"
        values = np.fromfile(path, "<i2").astype(np.int64)
        text = header.read_text(encoding="ascii").replace(".dat 16 ", f".dat {fmt} ")
        if fmt == "16x2":
            text = text.replace(" 360 720", " 180 360").replace(".dat 16x2 ", ".dat 16x2:3 ", 1)
            values = values.reshape(-1, 2, 2).transpose(0, 2, 1)
        path.write_bytes(_packed(fmt, values))
        header.write_text(text, encoding="ascii")
    case = replace(_TINY, fs_hz=180.0, num_samples=360) if fmt == "16x2" else _TINY
    return _case(folder, f"format {fmt}", "a", "b", case)


def _packed(fmt: str, values: np.ndarray) -> bytes:
    if fmt == "8":  # the difference to the sample of the same signal in the frame before
        frames = values.reshape(-1, 2)
        return np.diff(frames, axis=0, prepend=frames[:1]).astype("i1").tobytes()
    if fmt == "310":
        first, second, third = (values & 1023).reshape(-1, 3).T
        words = [first << 1 | (third & 31) << 11, second << 1 | third >> 5 << 11]
        return np.stack(words, axis=1).astype("<u2").tobytes()
    return values.astype(">i2" if fmt == "61" else "<i2").tobytes()


def _with_patient(folder: Path) -> Case:
    _write_tiny(folder, "16", ["patient 7"])
    return _case(
        folder,
        "patient in the header",
        "a",
        "b",
        replace(_TINY, patient_comment=r"(?i)\bpatient\s+(\d+)"),
    )


def _kaggle(folder: Path) -> Case:
    folder.mkdir(parents=True)
    for record_id, samples in _SAMPLES.items():
        rows = [
            f"{place},{first},{second}"
            for place, (first, second) in enumerate(_digital(record_id, "212").tolist())
        ]
        (folder / f"{record_id}.csv").write_text(
            "\n".join(["'sample #','MLII','V1'", *rows]) + "\n", encoding="utf-8"
        )
        lines = ["      Time   Sample #  Type  Sub Chan  Num\tAux"]
        for sample, symbol in zip(samples, _SYMBOLS[record_id], strict=True):
            time = f"{int(sample / 360 // 60)}:{sample / 360 % 60:06.3f}"
            lines.append(
                f"{time:>12}{sample:>9}{symbol:>6}    0    0    0"
                + ("\t(N" if symbol == "+" else "")
            )
        (folder / f"{record_id}annotations.txt").write_text(
            "\n".join(lines) + "\n", encoding="utf-8"
        )
    return _case(folder, "kaggle", "a", "b", _TINY, "kaggle_csv")


def fingerprint(cases: tuple[Case, ...]) -> str:
    """Returns the SHA-256 of all files, which identifies the bytes behind a finding."""
    total = hashlib.sha256()
    for case in cases:
        for name, content in case.files.items():
            total.update(name.encode() + content)
    return total.hexdigest()


def lay_out(files: Mapping[str, object], folder: Path) -> None:
    """Empties a folder and writes files to it; a callable as content makes its file itself."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for name, content in files.items():
        if callable(content):
            content(folder / name)
        elif content is not None:
            (folder / name).write_bytes(content)
