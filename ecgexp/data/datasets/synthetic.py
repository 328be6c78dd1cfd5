"""The dataset of virtual patients: written as WFDB files, then read, checked and prepared as any other database is."""

import json
import logging
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ecgexp.data.beats import BeatSet
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
from ecgexp.settings.declaration import ConfigError, DataError, Number, Seed, Whole, settings
from ecgexp.storage.atomic import claimed_folder, remove_litter
from ecgexp.storage.digests import digest, file_sha256
from ecgexp.storage.file_digests import FileDigests
from ecgexp.storage.reading import read_json

_DIGESTS = "digests.json"
_PREFIX = "synthetic-"
_log = logging.getLogger(__name__)


@settings
class SyntheticDataset(Preprocessing):
    """Virtual patients. Good for trying out and testing; its scores say nothing about hearts.

    The default size (26 records of 24 patients, some 9300 beats) is written and prepared in seconds.

    Attributes:
      num_patients: from 3 on every class occurs; from 12 on there is also one who lives with each of L, R and paced.
      minutes: length of each record.
      seed: of the patients and their records; not the run's seed, so that runs with several seeds see the same data.
      noise: multiplies baseline wander, muscle noise and mains hum; 0 leaves the bare beats.
    """

    num_patients: Annotated[Whole, Field(ge=3, le=500)] = 24
    minutes: Annotated[Number, Field(ge=MIN_MINUTES, le=60)] = 5.0
    seed: Seed = 0
    noise: Annotated[Number, Field(ge=0, le=1000)] = 1.0

    def __post_init__(self):
        super().__post_init__()
        if absent := [name for name in self.leads if name not in LEADS]:
            raise ConfigError(
                f"dataset.leads: the virtual patients have no lead {', '.join(absent)}; they have {', '.join(LEADS)}"
            )

    def load(self, on_progress: OnProgress | None = None) -> BeatSet:
        """All beats, without labels; the WFDB files are written first, or found below `cache_dir` from an earlier run.

        Args:
          on_progress: told `(done, total, what)` while records are prepared.

        Raises:
          DataError: files in the cache were damaged (the message says which folder to delete), or no folder can be
            written.
        """
        if self.cache_dir is not None:
            try:
                folder = self._written_below(self.cache_dir)
            except OSError as error:
                _log.warning(
                    "The virtual patients could not be kept in %s (%s); they are drawn anew.",
                    self.cache_dir,
                    error,
                )
            else:
                return self._preprocess(folder, on_progress)
        with tempfile.TemporaryDirectory() as place:
            try:
                self._write(Path(place))
            except OSError as error:
                raise DataError(
                    f"{place} cannot be written to ({error}); make room there or set TMPDIR"
                ) from error
            return self._preprocess(Path(place), on_progress)

    def _preprocess(self, folder: Path, on_progress: OnProgress | None) -> BeatSet:
        from ecgexp.data.preprocessing.pipeline import (
            preprocess_records,
        )  # only now: it pulls in the readers

        patients = patients_of(self.num_patients)
        database = Database(
            name="synthetic",
            version=version_of(self.seed),
            title="Virtual patients drawn by ecgexp",
            fs_hz=float(FS_HZ),
            records=tuple(patients),
            lead_names=LEADS,
            adc_gain=float(GAIN),
            adc_zero=BASELINE,
            same_patient=patients,
            remedy=f"delete the folder {folder}, the next run writes it again",
        )
        return preprocess_records(
            self,
            database=database,
            folder=folder,
            records=database.records,
            verify="header",
            on_progress=on_progress,
        )

    def _written_below(self, cache_dir: Path) -> Path:
        """The folder of these parameters; it appears whole or not at all: filled under another name, then renamed.

        **Guarantees** A folder that is there is used only while each file is as it was written, for these parameters: one that
        was changed, cut, exchanged or added to is written anew (`tests/unit/data/synthetic/test_synthetic_dataset.py` checks it).
        """
        folder = cache_dir / f"{_PREFIX}{digest(self._drawn_from())[:16]}"
        remove_litter(cache_dir, of=_PREFIX)
        if self._is_as_written(folder):
            return folder
        if folder.exists():
            _log.warning(
                "The virtual patients in %s are not as they were written; they are drawn anew.",
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
            if not self._is_as_written(
                folder
            ):  # if it is, another run was faster, with the same bytes
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
        """Whether the folder has the files that its list of digests names, as they were, and no others."""
        try:
            said = read_json(folder / _DIGESTS, dict[str, Any], fix="remove it")
            if said["drawn_from"] != self._drawn_from():
                return False
            paths = sorted(path for path in folder.glob("[!.]*") if path.name != _DIGESTS)
            return FileDigests(self.cache_dir, folder).of(paths) == said["files"]
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
