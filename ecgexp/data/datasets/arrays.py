"""Beats that are cut already: arrays and tables of windows with labels."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ecgexp.data.beats import COLUMNS, RR_FEATURES, TESTED, TRAINED, BeatSet, arrow
from ecgexp.data.datasets.base import ReadRecord, key_folder
from ecgexp.data.formats.beat_file import RR_COLUMNS, SUFFIXES, BeatFile, Wanted, refused
from ecgexp.data.formats.beat_labels import named_labels
from ecgexp.data.formats.read_beats import is_beside, read_beats
from ecgexp.data.formats.untrusted import printable
from ecgexp.data.identity import is_among, is_copy
from ecgexp.data.preprocessing.settings import Frequency, Name, OnProgress, Preprocessing
from ecgexp.settings.declaration import ConfigError, DataError, NonNegativeInt, settings
from ecgexp.settings.paths import Folder
from ecgexp.storage.digests import digest, file_sha256

if TYPE_CHECKING:
    from ecgexp.data.formats.record import Record

COPY, COPY_OF_TEST = "copy of another row", "copy of a test beat"
HEARTBEAT_CSV = (
    "the layout is that of the heartbeat CSV of Kaggle (Kachuee et al. 2018, arXiv:1805.00794): "
    "187 samples at 125 Hz from the R peak on, scaled to [0, 1] and padded with zeros; a row "
    "reaches into the next beat"
)
UNKNOWN_UNITS = (
    "the units of the samples are unknown, so that the amplitudes of two files cannot be compared"
)
HEARTBEAT_CLASSES, HEARTBEAT_HZ = ("N", "S", "V", "F", "Q"), 125.0
_HEARTBEAT_SAMPLES = 187
_NO_PATH = "dataset.path=null: no file of beats; use e.g. dataset.path=mitbih_train.csv"
_ENOUGH_ROWS = 100
_LONGEST_S = 10.0


@settings
class ArraysDataset:
    """Beats that somebody else cut, one row each, in an `.npz`, `.npy`, Parquet or CSV file.

    Nothing is filtered, resampled or cut. Copies of a row count once; see `load`.

    Attributes:
      path: The file.
      test_path: Another file whose beats are the test set, as their owners divided them; None: the
        split divides the beats of `path`.
      signals: Name of the array of an `.npz` file with the beats; None: the only one that can be.
      labels: Name of the column or array with the labels, or of a file beside `path` (`.npy`,
        `.csv` or `.txt`); None: a common name such as `label` or `y`, or the last column.
      patients: The same for the patients. None: nothing states whose the beats are, and only beats
        can be divided and scored.
      classes: Names of the labels, in the order of the integers or of the one-hot columns. None:
        the labels are texts.
      fs_hz: Sampling frequency of the beats; None: that of the heartbeat CSV of Kaggle.
      r_sample: Place of the R peak in a row, for the axis of figures.
      units: Units of the samples: `mV`, or `unknown`.
      leads: Names of the leads; None: `lead1`, `lead2`, ….
      rr: Whether the file has the RR features `rr_previous_s`, `rr_next_s`, `rr_local_mean_s` and
        `rr_ratio`, as columns or as an array `rr`.
      ignore: Columns of a table that are left out.
      pseudonyms: Replace ids of patients by keyed digests, whose key is in `cache_dir`. None: in a
        run with a privacy guarantee.
      cache_dir: Folder of the key.

    Example:
      >>> dataset = ArraysDataset(path="beats.npz", fs_hz=250, patients="patient")
      >>> dataset.knows_patients, dataset.has_records
      (True, False)
    """

    path: Folder | None = None
    test_path: Folder | None = None
    signals: Name | None = None
    labels: Name | None = None
    patients: Name | None = None
    classes: tuple[Name, ...] | None = None
    fs_hz: Frequency | None = None
    r_sample: NonNegativeInt = 0
    units: Literal["mV", "unknown"] = "unknown"
    leads: Annotated[tuple[Name, ...] | None, Field(min_length=1, max_length=64)] = None
    rr: bool = False
    ignore: tuple[Name, ...] = ()
    pseudonyms: bool | None = None
    cache_dir: Folder | None = None

    def __post_init__(self):
        if self.path is None:
            raise ConfigError(_NO_PATH)
        for name, path in (("path", self.path), ("test_path", self.test_path)):
            if path is not None and path.suffix.lower() not in SUFFIXES:
                raise ConfigError(
                    f"dataset.{name}={printable(path.name)}: not a file of beats; use one of "
                    f"{', '.join(SUFFIXES)}, or dataset=folder for recordings"
                )
        if self.test_path == self.path:
            raise ConfigError(
                f"dataset.test_path={printable(self.path.name)}: the same as dataset.path; use "
                "another file, or dataset.test_path=null to divide its beats"
            )
        beside = [name for name in ("labels", "patients") if is_beside(getattr(self, name))]
        if beside and self.test_path is not None:
            raise ConfigError(
                f"dataset.{beside[0]}={getattr(self, beside[0])}: a file beside one of two files "
                "of beats; use .npz, Parquet or CSV files that have their labels in them"
            )

        if self.pseudonyms:
            self.check_pseudonyms()

    def check_pseudonyms(self) -> None:
        """Check that patients can have pseudonyms.

        Raises:
          ConfigError: There is no folder for the key.
        """
        key_folder(self.cache_dir)

    @property
    def has_default_pseudonyms(self) -> bool:
        """Whether a run with a privacy guarantee decides on `pseudonyms`."""
        return self.pseudonyms is None and self.patients is not None

    def __str__(self) -> str:
        return arrow(*self._names()) if self.test_path is not None else self._names()[0]

    @property
    def file(self) -> Path:
        """The file of the training beats."""
        if self.path is None:
            raise ConfigError(_NO_PATH)
        return self.path

    @property
    def knows_patients(self) -> bool:
        """See `Dataset`."""
        return self.patients is not None

    @property
    def has_records(self) -> bool:
        """See `Dataset`: rows of a file are not cut from records here."""
        return False

    @property
    def window_samples(self) -> tuple[int, int]:
        """See `Dataset`; the beginning of the file is read."""
        samples = read_beats(self.file, self._wanted, first_block=True).signals.shape[1]
        return min(self.r_sample, samples), samples - min(self.r_sample, samples)

    @property
    def preprocessings(self) -> tuple[Preprocessing, ...]:
        """See `Dataset`: the shape of the windows, and no preprocessing."""
        found = read_beats(self.file, self._wanted, first_block=True)
        (before, after), fs_hz = self.window_samples, self._fs_hz(self.file, found)
        own = Preprocessing(
            leads=self._leads(self.file, found),
            fs_hz=fs_hz,
            baseline="none",
            window_ms=(1000 * before / fs_hz, 1000 * after / fs_hz),
        )
        return (own,) if self.test_path is None else (own, own)

    def check_there(self) -> None:
        """See `Dataset.check_there`."""
        for name, path in (("path", self.path), ("test_path", self.test_path)):
            if path is not None and not path.is_file():
                raise DataError(
                    f"dataset.{name}={printable(path)}: there is no such file; use the path of a "
                    f"{', '.join(SUFFIXES)} file"
                )

    def load(self, on_progress: OnProgress | None = None) -> BeatSet:
        """Load all beats, without labels; those for training first.

        A row that equals an earlier one, in samples and label, is dropped and counted: it would be
        the same beat twice, possibly in training and in test. If there is a test file, all of its
        rows stay, and training rows with the samples of one of them are dropped. Constant rows are
        not compared.

        **Guarantees**: adding one row to the training file adds at most one row to the result and
        changes no other one (`tests/unit/data/arrays/test_copies.py`), so that a guarantee for one
        row of the result is one for a row of the file.

        Args:
          on_progress: Called with `(done, total, what)` for each file.

        Returns:
          The beats. A record is a file or, if patients are known, a patient; `r_samples` are the
          numbers of the rows, from 0.

        Raises:
          DataError: A file is missing or damaged, or has no meaning under these settings.
        """
        self.check_there()
        paths = [path for path in (self.path, self.test_path) if path is not None]
        parts: list[BeatSet] = []
        for done, (path, name) in enumerate(zip(paths, self._names(), strict=True)):
            if on_progress is not None:
                on_progress(done, len(paths), name)
            classes = self.classes
            if parts and classes is None and HEARTBEAT_CSV in parts[0].notes:
                classes = HEARTBEAT_CLASSES  # the test file need not have all of them
            parts.append(self._part(path, name, classes))
        if on_progress is not None:
            on_progress(len(paths), len(paths), "")
        if self.test_path is None:
            return _without_copies(parts[0])
        return _joined(parts[0], parts[1], self.test_path)

    @contextmanager
    def open_records(self) -> Iterator[ReadRecord]:
        """See `Dataset.open_records`; there are no records."""

        def read(record_id: str) -> "Record":
            raise DataError(
                f"dataset=arrays: {record_id} is no record; use a dataset of records to see the "
                "signal around a beat"
            )

        yield read

    @property
    def _wanted(self) -> Wanted:
        return Wanted(
            signals=self.signals,
            labels=self.labels,
            patients=self.patients,
            rr=self.rr,
            ignore=self.ignore,
        )

    def _names(self) -> list[str]:
        """Return the names of the files; with that of the folder if both are equal."""
        paths = [path for path in (self.path, self.test_path) if path is not None]
        names = [path.name for path in paths]
        if len(set(names)) < len(names):
            names = [f"{path.parent.name}/{path.name}" for path in paths]
        return [name.replace(" -> ", "_") for name in names]

    def _part(self, path: Path, name: str, classes: Sequence[str] | None) -> BeatSet:
        """Return all beats of one file."""
        found = read_beats(path, self._wanted)
        fs_hz, is_heartbeat = self._fs_hz(path, found), is_heartbeat_csv(path, found)
        if found.signals.shape[1] > _LONGEST_S * fs_hz:
            raise refused(
                path,
                f"has beats of {found.signals.shape[1]} samples, above {_LONGEST_S:g} s at "
                f"{fs_hz:g} Hz",
                "use dataset.fs_hz= with their sampling frequency",
            )
        default = HEARTBEAT_CLASSES if is_heartbeat else None
        symbols = named_labels(path, found.labels, classes, default=default)
        patients, rows = self._patients(found), len(found.signals)
        records = np.full(rows, name) if patients is None else patients
        if patients is not None and self.test_path is not None:
            records = np.char.add(f"{name}/", patients)
        rr = np.zeros((rows, len(RR_FEATURES)), np.float32)
        if found.rr is not None:
            rr[:, : len(RR_COLUMNS)] = found.rr
        return BeatSet(
            signals_mv=found.signals,
            rr=rr,
            symbols=symbols,
            record_ids=records,
            patient_ids=records if patients is None else patients,
            r_samples=np.arange(rows),
            fs_hz=fs_hz,
            lead_names=self._leads(path, found),
            database=name,
            digest=digest({"file": file_sha256(path), "settings": self._parameters()}),
            patients_are="unknown" if patients is None else "stated",
            cut_elsewhere=True,
            units=self.units,
            notes=(
                *((HEARTBEAT_CSV,) if is_heartbeat else ()),
                *((UNKNOWN_UNITS,) if self.units == "unknown" else ()),
            ),
        )

    def _patients(self, found: BeatFile) -> np.ndarray | None:
        """Return (num_beats,) ids of patients, or their pseudonyms; None if they are unknown."""
        if found.patients is None or not self.pseudonyms:
            return found.patients
        from ecgexp.data.formats.pseudonyms import pseudonym_of_patient
        from ecgexp.privacy.keyed_digests import DigestKey

        key = DigestKey.of(key_folder(self.cache_dir))
        patients, rows = np.unique(found.patients, return_inverse=True)
        return np.array([pseudonym_of_patient(key, str(patient)) for patient in patients])[rows]

    def _parameters(self) -> dict[str, Any]:
        return {
            field.name: str(getattr(self, field.name))
            for field in fields(self)
            if field.name not in ("path", "test_path", "cache_dir")
        }

    def _fs_hz(self, path: Path, found: BeatFile) -> float:
        if self.fs_hz is not None:
            return self.fs_hz
        if is_heartbeat_csv(path, found):
            return HEARTBEAT_HZ
        raise refused(
            path,
            "does not state the sampling frequency of its beats",
            "use dataset.fs_hz=, e.g. dataset.fs_hz=360",
        )

    def _leads(self, path: Path, found: BeatFile) -> tuple[str, ...]:
        number = found.signals.shape[2]
        if self.leads is not None and len(self.leads) != number:
            raise refused(
                path,
                f"has beats of {number} leads, and dataset.leads=[{','.join(self.leads)}]",
                "use one name for each",
            )
        return self.leads or tuple(f"lead{place}" for place in range(1, number + 1))


def is_heartbeat_csv(path: Path, found: BeatFile) -> bool:
    """Return whether a file has the layout of the heartbeat CSV of Kaggle.

    Args:
      path: The file.
      found: Its content, or the beginning of it.
    """
    first = found.signals[:_ENOUGH_ROWS]
    return (
        path.suffix.lower() == ".csv"
        and not found.has_header
        and found.signals.shape[1:] == (_HEARTBEAT_SAMPLES, 1)
        and bool(first.min() >= 0 and first.max() <= 1)
    )


def _without_copies(beats: BeatSet) -> BeatSet:
    copy = is_copy(beats.signals_mv, beats.symbols)
    if not copy.any():
        return beats
    return replace(beats, dropped={COPY: int(copy.sum())}).take(np.flatnonzero(~copy))


def _joined(train: BeatSet, test: BeatSet, test_path: Path) -> BeatSet:
    """Join the training and the test beats; see `ArraysDataset.load`."""
    if train.signals_mv.shape[1:] != test.signals_mv.shape[1:] or train.fs_hz != test.fs_hz:
        raise refused(
            test_path,
            f"has beats of the shape {test.signals_mv.shape[1:]} at {test.fs_hz:g} Hz, and "
            f"dataset.path has {train.signals_mv.shape[1:]} at {train.fs_hz:g} Hz",
            "use two files of the same layout",
        )
    train = _without_copies(train)
    tested = is_among(train.signals_mv, test.signals_mv)
    dropped = {**train.dropped, **({COPY_OF_TEST: int(tested.sum())} if tested.any() else {})}
    train = train.take(np.flatnonzero(~tested))
    columns = {
        name: np.concatenate([getattr(train, name), getattr(test, name)]) for name in COLUMNS
    }
    return replace(
        train,
        **columns,
        database=arrow(train.database, test.database),
        digest=digest({TRAINED: train.digest, TESTED: test.digest}),
        dropped=dropped,
        parts=np.repeat([TRAINED, TESTED], [len(train), len(test)]),
        notes=tuple(dict.fromkeys([*train.notes, *test.notes])),
    )
