"""The preprocessing of a saved model as data: `preprocessing.json` of its folder.

Prediction, serving and export read the same file. It holds settings and public constants.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from ecgexp.data.beats import RR_FEATURES
from ecgexp.data.preprocessing.baseline import MEDIAN_MS
from ecgexp.data.preprocessing.settings import (
    OwnPreprocessing,
    Preprocessing,
    SharedPreprocessing,
)
from ecgexp.features.inputs import Features
from ecgexp.models.preprocessing import ModelPreprocessing
from ecgexp.settings.build import build_node, to_node
from ecgexp.settings.declaration import ConfigError, build
from ecgexp.storage.json_text import quoted
from ecgexp.storage.reading import read_json, refusal

FILE = "preprocessing.json"
_FORMAT = 1
_LEADS = tuple(one.name for one in fields(OwnPreprocessing) if one.name != "cache_dir")
_SHARED = tuple(one.name for one in fields(SharedPreprocessing) if one.name != "quality")


class _Leads(TypedDict):
    leads: list[str]
    lead_aliases: dict[str, str | list[str]]
    missing_lead: str


class Stored(TypedDict):
    """Content of `preprocessing.json`, in the order in which a record is processed.

    `baseline_median_ms`, `rr_features` and `template` state what the code of this version computes;
    a file that states something else is refused.
    """

    format: int
    leads: list[str]
    lead_aliases: dict[str, str | list[str]]
    missing_lead: str
    other_databases: dict[str, _Leads]
    baseline: str
    baseline_median_ms: list[float] | None
    bandpass_hz: list[float]
    fs_hz: float
    relocate_ms: float
    window_ms: list[float]
    window_samples: list[int]
    template: str | None
    rr_features: list[str]
    features: dict[str, Any]
    from_records: NotRequired[bool]


class _Format(TypedDict):
    format: NotRequired[int]


def preprocessing_json(preprocessing: ModelPreprocessing) -> Stored:
    """Return the content of `preprocessing.json`."""
    own = preprocessing.records
    values: Stored = {
        "format": _FORMAT,
        **_leads_of(own),
        "other_databases": {
            name: _leads_of(other) for name, other in preprocessing.other_databases.items()
        },
        "baseline": own.baseline,
        "baseline_median_ms": list(MEDIAN_MS) if own.baseline == "median" else None,
        "bandpass_hz": list(own.bandpass_hz),
        "fs_hz": own.fs_hz,
        "relocate_ms": own.relocate_ms,
        "window_ms": list(own.window_ms),
        "window_samples": list(own.window_samples),
        "template": "median" if preprocessing.features.uses_template else None,
        "rr_features": list(RR_FEATURES) if preprocessing.features.uses_rr else [],
        "features": to_node(preprocessing.features),
    }
    if not preprocessing.from_records:
        values["from_records"] = False
    return values


def read_preprocessing(folder: Path, *, fix: str) -> ModelPreprocessing:
    """Read `preprocessing.json` of a saved model.

    Args:
      folder: of the model.
      fix: what to do about a damaged file.

    Returns:
      The preprocessing.

    Raises:
      DataError: the file is missing, damaged, or of another format.
    """
    path = folder / FILE
    found = read_json(path, _Format, fix=fix).get("format")
    if found != _FORMAT:
        raise refusal(
            path,
            f"has format {quoted(found)}, and this version reads format {_FORMAT}",
            fix="train the model again with this version, or use the version that saved it",
        )
    stored = read_json(path, Stored, fix=fix)
    values: Mapping[str, Any] = stored
    shared = {name: values[name] for name in _SHARED}
    try:
        read = ModelPreprocessing(
            records=_built({name: values[name] for name in _LEADS} | shared),
            features=build_node(stored["features"], "features", Features),
            other_databases={
                name: _built({**leads, **shared})
                for name, leads in stored["other_databases"].items()
            },
            from_records=stored.get("from_records", True),
        )
    except ConfigError as error:
        raise refusal(path, f"cannot be used: {error}", fix=fix) from error
    expected: Mapping[str, Any] = preprocessing_json(read)
    if other := [name for name in expected if expected[name] != values[name]]:
        raise refusal(
            path,
            f"states {other[0]}={quoted(values[other[0]])}, and this version computes "
            f"{quoted(expected[other[0]])}",
            fix="train the model again with this version, or use the version that saved it",
        )
    return read


def _built(values: dict[str, Any]) -> Preprocessing:
    return build(Preprocessing, values, path="dataset")


def _leads_of(settings: Preprocessing) -> _Leads:
    return {
        "leads": list(settings.leads),
        "lead_aliases": {
            lead: alias if isinstance(alias, str) else list(alias)
            for lead, alias in settings.lead_aliases.items()
        },
        "missing_lead": settings.missing_lead,
    }
