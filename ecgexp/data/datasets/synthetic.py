"""The dataset of virtual patients: written as WFDB files, then processed as any other database."""

import json
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ecgexp.data.beats import BeatSet
from ecgexp.data.datasets.base import ReadRecord
from ecgexp.data.datasets.catalog import Database
from ecgexp.data.preprocessing.settings import OnProgress, Preprocessing
from ecgexp.data.synthetic.database import (
    BASELINE,
    FS_HZ,
    GAIN,
    GENERATOR_VERSION,
    MIN_MINUTES,
    patients_of,
    version_of,
    write_database,
)
from ecgexp.data.synthetic.shapes import LEADS
from ecgexp.settings.declaration import DataError, Number, Seed, Whole, settings
from ecgexp.storage.atomic import claimed_folder, remove_litter
from ecgexp.storage.digests import FileDigests, digest, file_sha256
from ecgexp.storage.reading import read_json

if TYPE_CHECKING:
    from ecgexp.data.formats.source import RecordSource

_DIGESTS = "digests.json"
_PREFIX = "synthetic-"
_log = logging.getLogger(__name__)


@settings
class SyntheticDataset(Preprocessing):
    """Virtual patients, for first experiments and tests; scores on them have no clinical meaning.

    The default size (26 records of 24 patients, about 9300 beats) is written and preprocessed in
    seconds.

    Attributes:
      num_patients: Number of patients. With 3 or more every class occurs; with 12 or more there is
        also a patient with permanent L, R and paced beats each.
      minutes: Length of each record.
      seed: Seed of the patients and their records. It differs from the seed of the run, so that
        runs with several seeds use the same data.
      noise: Factor of baseline wander, muscle noise and powerline interference; 0: no noise.

    Example:
      >>> SyntheticDataset(num_patients=12, minutes=1, fs_hz=250).window_samples
      (62, 62)
    """

    num_patients: Annotated[Whole, Field(ge=3, le=500)] = 24
    minutes: Annotated[Number, Field(ge=MIN_MINUTES, le=60)] = 5.0
    seed: Seed = 0
    noise: Annotated[Number, Field(ge=0, le=1000)] = 1.0

    def __post_init__(self):
        super().__post_init__()
        self.check_recorded(LEADS, "virtual patients have")

    def check_there(self) -> None:
        """See `Dataset.check_there`; virtual patients need no files."""

    def load(self, on_progress: OnProgress | None = None) -> BeatSet:
        """Load all beats, without labels.

        The WFDB files are written first, unless `cache_dir` has them from an earlier run.

        Args:
          on_progress: Called with `(done, total, what)` while records are preprocessed.

        Returns:
          The beats, in the order of the records.

        Raises:
          DataError: Cached files were damaged (the message names the folder to delete), or no
            folder is writable.
        """
        with self._files() as folder:
            return self._preprocess(folder, on_progress)

    @contextmanager
    def open_records(self) -> Iterator[ReadRecord]:
        """See `Dataset.open_records`."""
        with self.open_source() as source:
            yield lambda record_id: source.read(record_id, self.recorded_leads)

    @contextmanager
    def open_source(self) -> Iterator["RecordSource"]:
        """See `HasSource`."""
        with self._files() as folder:
            yield self._source(folder)

    @contextmanager
    def _files(self) -> Iterator[Path]:
        """Yield the folder of the written files: below `cache_dir`, or a temporary one."""
        if self.cache_dir is not None:
            try:
                folder = self._written_below(self.cache_dir)
            except OSError as error:
                _log.warning(
                    "The virtual patients could not be cached in %s (%s); they are generated anew.",
                    self.cache_dir,
                    error,
                )
            else:
                yield folder
                return
        with tempfile.TemporaryDirectory() as place:
            try:
                self._write(Path(place))
            except OSError as error:
                raise DataError(
                    f"the temporary folder {place} cannot be written to ({error}); "
                    "free space there, or set TMPDIR to another folder"
                ) from error
            yield Path(place)

    def _preprocess(self, folder: Path, on_progress: OnProgress | None) -> BeatSet:
        # Imported here, because it imports SciPy.
        from ecgexp.data.preprocessing.pipeline import preprocess_records

        return preprocess_records(self, self._source(folder), on_progress=on_progress)

    def _source(self, folder: Path) -> "RecordSource":
        # Imported here, because it imports the readers.
        from ecgexp.data.formats.database_source import DatabaseSource

        database = self._database(folder)
        return DatabaseSource(
            database=database, folder=folder, records=database.records or (), verify="header"
        )

    def _database(self, folder: Path) -> Database:
        patients = patients_of(self.num_patients)
        return Database(
            name="synthetic",
            version=version_of(self.seed),
            title="Virtual patients drawn by ecgexp",
            fs_hz=float(FS_HZ),
            records=tuple(patients),
            lead_names=LEADS,
            adc_gain=float(GAIN),
            adc_zero=BASELINE,
            same_patient=patients,
            remedy=f"delete the folder {folder}, which the next run writes again",
        )

    def _written_below(self, cache_dir: Path) -> Path:
        """Return the folder of these parameters; write it if it is missing or was changed.

        **Guarantees**: The folder is written under another name and then renamed, so that it is
        complete or absent. An existing folder is used only if every file is as it was written for
        these parameters; if a file was changed, truncated, replaced or added, the folder is
        written again (`tests/unit/data/synthetic/test_synthetic_dataset.py`).
        """
        folder = cache_dir / f"{_PREFIX}{digest(self._drawn_from())[:16]}"
        remove_litter(cache_dir, of=_PREFIX)
        if self._is_as_written(folder):
            return folder
        if folder.exists():
            _log.warning(
                "The virtual patients in %s were changed; they are generated anew.",
                folder,
            )
        cache_dir.mkdir(parents=True, exist_ok=True)
        number = secrets.randbits(40)
        partial = cache_dir / f".{folder.name}.{number}.part"
        old = cache_dir / f".{folder.name}.old.{number}.part"
        try:
            with claimed_folder(partial):
                self._write(partial)
                self._write_digests(partial)
                if folder.is_symlink() or folder.is_file():
                    folder.unlink()
                elif folder.exists() and not self._is_as_written(folder):
                    os.rename(folder, old)
                os.rename(partial, folder)
        except OSError:
            # Otherwise another run wrote the same bytes in the meantime.
            if not self._is_as_written(folder):
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
        return folder

    def _write_digests(self, folder: Path) -> None:
        written = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
        text = json.dumps({"drawn_from": self._drawn_from(), "files": written}, indent=1)
        (folder / _DIGESTS).write_text(text, encoding="utf-8")

    def _is_as_written(self, folder: Path) -> bool:
        """Return whether the folder has exactly the files of its list of digests, unchanged."""
        try:
            stored = read_json(folder / _DIGESTS, dict[str, Any], fix="remove it")
            if stored["drawn_from"] != self._drawn_from():
                return False
            paths = sorted(path for path in folder.glob("[!.]*") if path.name != _DIGESTS)
            found = FileDigests(self.cache_dir, folder).of(paths)
            return {path.name: sha256 for path, sha256 in found.items()} == stored["files"]
        except (OSError, DataError, ValueError, LookupError, TypeError, RecursionError):
            return False

    def _write(self, folder: Path) -> None:
        write_database(
            folder,
            num_patients=self.num_patients,
            minutes=self.minutes,
            seed=self.seed,
            noise=self.noise,
        )

    def _drawn_from(self) -> dict[str, float]:
        return {
            "generator": GENERATOR_VERSION,
            "num_patients": self.num_patients,
            "minutes": self.minutes,
            "seed": self.seed,
            "noise": self.noise,
        }
