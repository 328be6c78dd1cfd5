"""Which annotated records are own recordings that the run of the model read, and their notes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgexp.data.datasets.folder import FolderDataset
from ecgexp.data.datasets.recorded import names_of
from ecgexp.data.formats.pseudonyms import FOLDER, pseudonym_of_record
from ecgexp.privacy.keyed_digests import NAME as KEY_FILE
from ecgexp.privacy.keyed_digests import DigestKey
from ecgexp.settings.declaration import ConfigError, DataError, build
from ecgexp.storage.atomic import resolved

SETTINGS = (
    *("path", "name", "records", "formats", "patients", "time_column", "annotations"),
    "cache_dir",
)
"""Settings of a folder that determine which records it has, and where the key of pseudonyms is."""

_SHOWN = 8
_NONE = (None, "None")  # as a setting, and as a parameter of a run


@dataclass(frozen=True, kw_only=True)
class OwnRecords:
    """The own recordings that a run read, and which of them are holdout records.

    **Guarantees**: It is made of settings, published predictions and the folder of the recordings,
    and of nothing that a run with a privacy guarantee withholds; hence it states which records are
    no holdout records, and never that the model was trained on one
    (`tests/unit/inference/test_own_records.py`).

    Attributes:
      files: Path without suffix -> id of the record.
      validated: Ids of the records with validation beats.
      tested: Ids of the records with test beats.
      keeps_records_whole: Whether a record with validation or test beats has no training beats.
    """

    files: Mapping[Path, str]
    validated: frozenset[str] = frozenset()
    tested: frozenset[str] = frozenset()
    keeps_records_whole: bool = False

    def notes(self, stems: Sequence[Path]) -> Iterator[str]:
        """Return notes on the records that the model annotates.

        Args:
          stems: Their paths without suffix.

        Yields:
          At most one note on those with validation beats, and one on those without holdout beats.
        """
        validated, others = [], []
        for stem in stems:
            record_id = self.files.get(resolved(stem))
            if record_id is None or (self.keeps_records_whole and record_id in self.tested):
                continue
            is_validated = self.keeps_records_whole and record_id in self.validated
            (validated if is_validated else others).append(stem.name)
        if others:
            shows = (
                "without validation or test beats" if self.keeps_records_whole else "split by beat"
            )
            yield (
                f"{_share(others, stems)} of the run's own recordings, {shows} ({_names(others)}): "
                "the model may have been trained on them, and then their agreement says nothing "
                "about new patients"
            )
        if validated:
            yield (
                f"{_share(validated, stems)} of the run's validation records "
                f"({_names(validated)}): the model may have been chosen by them, and then their "
                "agreement is too high for new patients"
            )


def own_records(
    params: Mapping[str, Any],
    *,
    validated: frozenset[str],
    tested: frozenset[str],
    keeps_records_whole: bool,
) -> OwnRecords | None:
    """Find the own recordings that a run read and did not only test on.

    Args:
      params: Parameters of the run, by their dotted names: the `SETTINGS` of `dataset` and of
        `dataset.train`, and `dataset.parts`. The key of pseudonyms is in `cache_dir`.
      validated: Ids of the records with published predictions of validation beats.
      tested: Ids of the records with published predictions of test beats.
      keeps_records_whole: See `OwnRecords`.

    Returns:
      The records; None if the run used none, or its folders of recordings are not there.
    """
    files: dict[Path, str] = {}
    for settings, is_part in _folders(params):
        given = {key: value for key, value in settings.items() if value not in _NONE}
        if "path" not in given:
            continue
        cache_dir = given.pop("cache_dir", None)
        key = None if cache_dir is None else _key_in(Path(str(cache_dir)) / FOLDER)
        with suppress(DataError, ConfigError, OSError):  # e.g. copied to another machine
            dataset = build(FolderDataset, {**given, "records": None}, path="dataset")
            chosen = names_of(given.get("records"))
            for own, file in dataset.found_records().files.items():
                if chosen is None or own in map(str, chosen):
                    names = [own] if key is None else [pseudonym_of_record(key, own), own]
                    ids = [f"{dataset.title}/{name}" if is_part else name for name in names]
                    files[resolved(file.with_suffix(""))] = next(
                        (each for each in ids if each in validated | tested), ids[-1]
                    )
    if not files:
        return None
    return OwnRecords(
        files=files, validated=validated, tested=tested, keeps_records_whole=keeps_records_whole
    )


def _key_in(folder: Path) -> DigestKey | None:
    """Return the key of pseudonyms; None if there is none, so that no record has a pseudonym."""
    with suppress(ConfigError):
        return DigestKey.of(folder) if (folder / KEY_FILE).is_file() else None
    return None


def _folders(params: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """Yield the settings of each folder, and whether ids begin with its name."""
    for prefix in ("dataset.", "dataset.train."):
        yield {key: params.get(prefix + key) for key in SETTINGS}, prefix != "dataset."
    parts = params.get("dataset.parts")
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict):
            yield {key: part.get(key) for key in SETTINGS}, True


def _share(some: Sequence[str], stems: Sequence[Path]) -> str:
    are = "is one" if len(some) == 1 else "are"
    return f"{len(some)} of {len(stems)} records {are}"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
