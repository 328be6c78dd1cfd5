"""Checks of the datasets, splits and partitions of plug-ins, whose code is not this package's."""

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace

import numpy as np

from ecgexp.data.beats import COLUMNS, RR_FEATURES, BeatSet
from ecgexp.data.datasets.base import Dataset
from ecgexp.data.identity import window_hashes
from ecgexp.data.partition.base import ClientPartition
from ecgexp.data.splits.base import Split
from ecgexp.settings.declaration import DataError
from ecgexp.settings.option_names import option_name
from ecgexp.settings.plugins import is_foreign

_SHA256 = re.compile(r"[0-9a-f]{16,128}")


def has_foreign(value: object) -> bool:
    """Return whether settings, or settings within them, are of a class that is not ecgexp's.

    Example:
      >>> from ecgexp.data import SyntheticDataset
      >>> has_foreign(SyntheticDataset())
      False
    """
    if isinstance(value, list | tuple):
        return any(map(has_foreign, value))
    if isinstance(value, Mapping):
        return any(map(has_foreign, value.values()))
    if not is_dataclass(value) or isinstance(value, type):
        return False
    return is_foreign(value) or any(has_foreign(getattr(value, one.name)) for one in fields(value))


def read_only(beats: BeatSet) -> BeatSet:
    """Return the same beats with arrays that cannot be changed, for the code of plug-ins."""
    names = [*COLUMNS, "record_values", "labels", "parts"]
    views = {name: np.asarray(getattr(beats, name)).view() for name in names}
    for view in views.values():
        view.flags.writeable = False
    return replace(beats, **views)


def check_loaded(dataset: Dataset, beats: object) -> None:
    """Check the beats that a dataset of a plug-in returned; those of ecgexp are known.

    **Guarantees**: every beat is loaded once: no two rows have the same samples, whatever they are
    called, unless these are constant (`tests/unit/data/test_foreign_parts.py`).

    Args:
      dataset: its settings.
      beats: what `load` returned.

    Raises:
      DataError: they are not what `Dataset.load` describes; the message says what to return.
    """
    if not has_foreign(dataset):
        return
    option = option_name(type(dataset).__name__)
    found = (
        f"load returns {type(beats).__name__}; return an ecgexp.data.BeatSet"
        if not isinstance(beats, BeatSet)
        else _form(dataset, beats) or _copies(beats)
    )
    if found:
        raise DataError(f"dataset={option}: {found}.")


def check_divided(splitter: object, split: object) -> None:
    """Check the form of what the split of a plug-in returned; `check_split` checks the rest.

    Args:
      splitter: settings of the split.
      split: what it returned.

    Raises:
      DataError: it is not what `Splitter.split` describes.
    """
    if not is_foreign(splitter):
        return
    option = option_name(type(splitter).__name__)
    if not isinstance(split, Split):
        raise DataError(
            f"split={option}: split returns {type(split).__name__}; return an ecgexp.data.Split."
        )
    for name in ("train", "validation", "test"):
        rows = getattr(split, name)
        if not _is_array(rows, 1, "i") or np.any(np.diff(rows) <= 0):
            raise DataError(
                f"split={option}: {name} is not an array of ascending row numbers; return "
                "np.sort(rows), each once."
            )


def check_assigned(partition: object, clients: object) -> None:
    """Check the form of what the partition of a plug-in returned; see `check_partition`.

    Args:
      partition: its settings.
      clients: what it returned.

    Raises:
      DataError: it is not what `Partition.assign` describes.
    """
    if not is_foreign(partition):
        return
    option = option_name(type(partition).__name__)
    if not isinstance(clients, ClientPartition):
        raise DataError(
            f"partition={option}: assign returns {type(clients).__name__}; return an "
            "ecgexp.data.ClientPartition."
        )
    for part in clients.parts.values():
        if not all(isinstance(client, str) and client for client in part):
            raise DataError(f"partition={option}: a client has no name; use texts as names.")


def _form(dataset: Dataset, beats: BeatSet) -> str:
    """Return what is wrong with the form of loaded beats; empty if nothing is."""
    rows, before_after = len(beats), dataset.window_samples
    window = (sum(before_after), len(beats.lead_names))
    wanted = {
        "signals_mv": (_is_array(beats.signals_mv, 3, "f"), f"(beats, {window[0]}, leads) float32"),
        "rr": (
            _is_array(beats.rr, 2, "f") and beats.rr.shape[1] == len(RR_FEATURES),
            f"(beats, {len(RR_FEATURES)}) float32",
        ),
        "r_samples": (_is_array(beats.r_samples, 1, "i"), "(beats,) int64"),
        **{
            name: (_is_array(getattr(beats, name), 1, "U"), "(beats,) texts")
            for name in ("symbols", "record_ids", "patient_ids")
        },
    }
    if not rows:
        return "there is no beat; return at least one"
    for name, (fits, shape) in wanted.items():
        if not fits:
            return f"{name} is not {shape}; return such an array"
    if beats.signals_mv.shape[1:] != window:
        return (
            f"signals_mv has rows of the shape {beats.signals_mv.shape[1:]}, and window_samples="
            f"{tuple(before_after)} and lead_names say {window}; return windows of this shape"
        )
    if not np.isfinite(beats.signals_mv).all():
        return "signals_mv has values that are NaN or infinite; leave such beats out"
    if beats.class_names:
        return "the beats have labels already; return annotation symbols, which grouping= labels"
    if not _SHA256.fullmatch(beats.digest):
        return "digest is not a hexadecimal digest; return ecgexp.storage.digests.digest(...)"
    if beats.cut_elsewhere == dataset.has_records:
        return (
            f"has_records={dataset.has_records} and cut_elsewhere={beats.cut_elsewhere}; use "
            "cut_elsewhere=True exactly for beats that are not cut from records"
        )
    if beats.knows_patients and not dataset.knows_patients:
        return "knows_patients=False, and patients_are says that they are known; use 'unknown'"
    return ""


def _copies(beats: BeatSet) -> str:
    """Return that two rows have the same samples; empty if none have."""
    first: dict[int, int] = {}
    same = []
    for row, found in enumerate(window_hashes(beats.signals_mv)):
        if found is None:
            continue
        other = first.setdefault(found, row)
        if other != row and np.array_equal(beats.signals_mv[other], beats.signals_mv[row]):
            same.append((other, row))
    if not same:
        return ""
    one, other = (f"{beats.record_ids[row]} sample {beats.r_samples[row]}" for row in same[0])
    return (
        f"{len(same)} rows have the samples of another one, such as record {other} those of record "
        f"{one}, so that one beat would count as several; return each beat once"
    )


def _is_array(value: object, dimensions: int, kind: str) -> bool:
    return (
        isinstance(value, np.ndarray)
        and value.ndim == dimensions
        and value.dtype.kind == kind
        and (kind != "f" or value.dtype == np.float32)
    )
