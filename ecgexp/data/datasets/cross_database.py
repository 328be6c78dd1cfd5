"""Two databases as one dataset: trained on the first, tested on the second."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ecgexp.data.beats import COLUMNS, TESTED, TRAINED, BeatSet, arrow
from ecgexp.data.datasets.recorded import RecordedDataset
from ecgexp.data.identity import check_no_copies
from ecgexp.data.preprocessing.settings import Frequency, OnProgress
from ecgexp.settings.declaration import (
    ConfigError,
    DataError,
    Milliseconds,
    Positive,
    placed,
    settings,
)
from ecgexp.storage.digests import digest

_ALIKE = ("fs_hz", "baseline", "bandpass_hz", "window_ms", "relocate_ms")


@settings
class TwoDatabases:
    """One database to train on and another one to test, whose beats have the same shape.

    Records and patients bear the name of their database, `mitdb/100` and `svdb/800`, so that equal names are not taken for one
    person. Whether somebody was recorded for both databases no file tells.

    Attributes:
      train: the database to train on, and what is chosen by validation.
      test: the database to test. Its leads correspond to those of `train` by position: the first one of each is the first
        column of a window, whatever they are called.
      fs_hz: sampling frequency of the windows; given here once, as are the following, and the same in both parts.
      baseline: as in `Preprocessing`.
      bandpass_hz: as in `Preprocessing`.
      window_ms: as in `Preprocessing`.
      relocate_ms: as in `Preprocessing`.
    """

    train: RecordedDataset
    test: RecordedDataset
    fs_hz: Frequency = 360.0
    baseline: Literal["median", "bandpass", "none"] = "median"
    bandpass_hz: tuple[Positive, Positive] = (0.5, 40.0)
    window_ms: tuple[Milliseconds, Milliseconds] = (250.0, 250.0)
    relocate_ms: Milliseconds = 0.0

    def __post_init__(self):
        if self.train.database == self.test.database:
            raise ConfigError(
                f"dataset.train.database and dataset.test.database are both {self.train.database}; type "
                f"dataset={self.train.database} split=inter_patient"
            )
        if len(self.train.leads) != len(self.test.leads):
            raise ConfigError(
                f"dataset.train.leads={_listed(self.train.leads)} and dataset.test.leads={_listed(self.test.leads)} correspond "
                "one to one; name as many in each"
            )
        for part, name in ((part, name) for part in self.parts for name in _ALIKE):
            ours, theirs = getattr(self, name), getattr(self.parts[part], name)
            if ours != theirs:
                raise ConfigError(
                    f"dataset.{part}.{name}={_listed(theirs)} is not dataset.{name}={_listed(ours)}, and a model needs beats "
                    f"prepared alike; set dataset.{name} alone, which both databases follow"
                )

    def __str__(self) -> str:
        return arrow(str(self.train), str(self.test))

    @property
    def parts(self) -> dict[str, RecordedDataset]:
        """`train` and `test`, by these names."""
        return {TRAINED: self.train, TESTED: self.test}

    @property
    def window_samples(self) -> tuple[int, int]:
        """Samples before R, and from R on, at `fs_hz`."""
        return self.train.window_samples

    def load(self, on_progress: OnProgress | None = None) -> BeatSet:
        """All beats of both, without labels, those to train on first.

        Args:
          on_progress: told `(done, total, what)` while records are prepared, of each database in turn.

        Raises:
          ConfigError: a database is not there; that is found out before the other one is prepared.
          DataError: files are missing or damaged.
        """
        self._check_both_are_there()
        loaded = {}
        for part, dataset in self.parts.items():
            with _placed(f"dataset.{part}"):
                loaded[part] = dataset.load(
                    _named(on_progress, dataset.database), path=f"dataset.{part}"
                )
        return self._joined(loaded)

    def _check_both_are_there(self) -> None:
        absent = []
        for part, dataset in self.parts.items():
            try:
                with _placed(f"dataset.{part}"):
                    dataset.folder()
            except DataError as error:
                absent.append(str(error))
        if absent:
            raise ConfigError("; ".join(absent))

    def _joined(self, loaded: dict[str, BeatSet]) -> BeatSet:
        named = [_with_database(beats, self.parts[part].database) for part, beats in loaded.items()]
        first, second = named
        columns = {
            name: np.concatenate([getattr(beats, name) for beats in named]) for name in COLUMNS
        }
        check_no_copies(columns["record_ids"], columns["signals_mv"])
        return BeatSet(
            **columns, fs_hz=self.fs_hz,
            lead_names=tuple(arrow(*pair) for pair in zip(first.lead_names, second.lead_names, strict=True)),
            database=arrow(first.database, second.database), dropped={**first.dropped, **second.dropped},
            digest=digest({part: beats.digest for part, beats in loaded.items()}),
            templates_mv={**first.templates_mv, **second.templates_mv}, annotated={**first.annotated, **second.annotated},
            parts=np.repeat(list(loaded), [len(beats) for beats in named]),
        )  # fmt: skip


def _with_database(beats: BeatSet, name: str) -> BeatSet:
    """Beats whose records, patients and reasons say which database they are of."""
    return replace(
        beats,
        record_ids=np.char.add(f"{name}/", beats.record_ids),
        patient_ids=np.char.add(f"{name}/", beats.patient_ids),
        templates_mv={f"{name}/{record}": median for record, median in beats.templates_mv.items()},
        annotated={f"{name}/{record}": places for record, places in beats.annotated.items()},
        dropped={f"{name}: {reason}": count for reason, count in beats.dropped.items()},
    )


def _named(on_progress: OnProgress | None, name: str) -> OnProgress | None:
    if on_progress is None:
        return None
    return lambda done, total, what: on_progress(done, total, f"{name}/{what}" if what else "")


@contextmanager
def _placed(path: str) -> Iterator[None]:
    """What is said of a part's settings names them by where they stand."""
    try:
        yield
    except DataError as error:
        raise DataError(placed(str(error), path, RecordedDataset)) from error


def _listed(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(_listed(item) for item in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
