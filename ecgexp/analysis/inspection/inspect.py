"""Put together what the page shows: the records, their classes, the splits and what is wrong."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ecgexp.analysis.inspection.facts import ClassFacts, Inspection, ReadRecords
from ecgexp.analysis.inspection.findings import findings_of
from ecgexp.analysis.inspection.reading import read_records
from ecgexp.analysis.inspection.splits import splits_of
from ecgexp.analysis.inspection.typical import typical_beats
from ecgexp.data.beats import BeatSet
from ecgexp.data.grouping import LabelGrouping
from ecgexp.data.preprocessing.settings import OnProgress
from ecgexp.data.splits.base import Split

if TYPE_CHECKING:
    from ecgexp.config.data_settings import DataSettings


def inspect(
    settings: "DataSettings", *, command: str = "", on_progress: OnProgress | None = None
) -> Inspection:
    """Inspect the data of a run; no TensorFlow is imported.

    **Guarantees** (`tests/unit/analysis/inspection/test_inspect.py`): typical beats and RR outliers
    are of no test beat of the chosen split, if that split is possible. Nothing of a header's
    comments is in the result but what the dataset's settings take for the patient, which no page
    shows.

    Args:
      settings: The dataset, the grouping, the split and the seed.
      command: The settings, as arguments of a command, which the page repeats.
      on_progress: Called with `(done, total, what)` while records are read.

    Returns:
      What the page shows.

    Raises:
      ConfigError, DataError: There are no records, or the settings of the data are invalid.
    """
    settings.dataset.check_there()
    read = read_records(settings.dataset, settings.grouping, on_progress)
    labels, labeled = _labeled(read.beats, settings.grouping)
    splits, parts = splits_of(labeled, settings.dataset, settings.split, settings.seed)
    is_shown, beats_of = _shown(read.beats, labels, parts, splits[0].option)
    partial = Inspection(
        title=read.beats.database,
        grouping=settings.grouping.name,
        read=read,
        labeled=labeled,
        classes=_classes(labeled, settings.grouping),
        ungrouped=_ungrouped(read, settings.grouping),
        splits=splits,
        shown=frozenset(read.beats.record_ids[is_shown].tolist()),
        beats_of=beats_of,
        typical=typical_beats(read, labels, labeled, is_shown, beats_of),
        command=command,
    )
    return replace(partial, findings=findings_of(partial, settings))


def _labeled(beats: BeatSet, grouping: LabelGrouping) -> tuple[np.ndarray, BeatSet]:
    """Return (num_beats,) int64 labels, -1 for none, and the beats that have one.

    Unlike `LabelGrouping.apply`, it accepts classes without beats.
    """
    present = set(beats.symbols.tolist())
    names = [name for name, symbols in grouping.classes.items() if present & set(symbols)]
    class_of = {
        symbol: index for index, name in enumerate(names) for symbol in grouping.classes[name]
    }
    symbols, inverse = np.unique(beats.symbols, return_inverse=True)
    labels = np.asarray([class_of.get(str(one), -1) for one in symbols], np.int64)[inverse]
    labeled = replace(beats, labels=labels, class_names=tuple(names)) if names else beats
    return labels, labeled.take(np.flatnonzero(labels >= 0))


def _shown(
    beats: BeatSet, labels: np.ndarray, parts: Split | None, option: str
) -> tuple[np.ndarray, str]:
    """Return (num_beats,) bool: beats that may be looked at, and how a caption names them."""
    if parts is None:
        return np.ones(len(beats), bool), f"of all beats, since {option} is not possible"
    is_shown = np.zeros(len(beats), bool)
    own_rows = np.flatnonzero(labels >= 0)
    is_shown[own_rows[np.concatenate([parts.train, parts.validation])]] = True
    whose = "beats" if parts.disjoint == "beat" else "patients"
    return is_shown, f"of the training and validation {whose} of {option} only"


def _classes(labeled: BeatSet, grouping: LabelGrouping) -> list[ClassFacts]:
    counts = Counter(labeled.symbols.tolist())
    index = {name: number for number, name in enumerate(labeled.class_names)}
    found = []
    for name, symbols in grouping.classes.items():
        rows = labeled.labels == index.get(name, -1)
        patients = labeled.patient_ids[rows] if len(rows) == len(labeled) else np.zeros(0, "<U1")
        found.append(
            ClassFacts(
                name=name,
                symbols=tuple(symbol for symbol in symbols if counts[symbol]),
                beats=len(patients),
                of_patients=np.sort(np.unique(patients, return_counts=True)[1]),
            )
        )
    return found


def _ungrouped(read: ReadRecords, grouping: LabelGrouping) -> Mapping[str, int]:
    grouped = {symbol for symbols in grouping.classes.values() for symbol in symbols}
    return {symbol: count for symbol, count in read.symbols.items() if symbol not in grouped}
