"""What turns a record into the inputs of a saved model, as data: `preprocessing.json`.

Prediction, serving and export read the same file. It holds settings and public constants, and
nothing that was computed from beats.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NotRequired

import numpy as np
from typing_extensions import TypedDict

from ecgexp.data.beats import NO_INTERVAL, RR_FEATURES, arrow
from ecgexp.data.formats.record import Record
from ecgexp.data.preprocessing.baseline import MEDIAN_MS
from ecgexp.data.preprocessing.one_record import (
    LEFT_RECORD,
    choose_leads,
    preprocess_record,
    substitutes_of,
)
from ecgexp.data.preprocessing.settings import (
    OwnPreprocessing,
    Preprocessing,
    SharedPreprocessing,
)
from ecgexp.data.preprocessing.windows import template
from ecgexp.features.inputs import Features
from ecgexp.settings.build import build_node, to_node
from ecgexp.settings.declaration import ConfigError, DataError, build
from ecgexp.storage.json_text import quoted
from ecgexp.storage.reading import read_json, refusal

FILE = "preprocessing.json"
_FORMAT = 1
_LEADS = tuple(one.name for one in fields(OwnPreprocessing) if one.name != "cache_dir")
_SHARED = tuple(one.name for one in fields(SharedPreprocessing))


class _Leads(TypedDict):
    leads: list[str]
    lead_aliases: dict[str, str]
    missing_lead: str


class Stored(TypedDict):
    """Content of `preprocessing.json`, in the order in which a record is processed.

    `baseline_median_ms`, `rr_features` and `template` state what the code of this version computes;
    a file that states something else is refused.
    """

    format: int
    leads: list[str]
    lead_aliases: dict[str, str]
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


class _Format(TypedDict):
    format: NotRequired[int]


@dataclass(frozen=True, kw_only=True)
class BeatInputs:
    """Beats of a record as a model takes them.

    Attributes:
      samples: (num_beats,) int64, the R peak of every beat, at the frequency of the record.
      reasons: (num_beats,) str, why a beat cannot be classified; empty for all others, which are
        the rows of the arrays below.
      signals_mv: (num_usable, window, leads) float32, millivolts.
      rr: (num_usable, 20) float32; None if the model does not take RR features.
      templates_mv: (num_usable, window, leads) float32, the template of the record, repeated; None
        if the model does not take it.
    """

    samples: np.ndarray
    reasons: np.ndarray
    signals_mv: np.ndarray
    rr: np.ndarray | None
    templates_mv: np.ndarray | None

    @property
    def is_usable(self) -> np.ndarray:
        """(num_beats,) bool: True for beats that can be classified."""
        return self.reasons == ""


@dataclass(frozen=True, kw_only=True)
class ModelPreprocessing:
    """The preprocessing of a model: of records to windows, and of windows to features.

    **Guarantees** A record is processed as in training: both call
    `data.preprocessing.one_record.preprocess_record` with equal settings
    (`tests/end_to_end/test_predict.py`).

    Attributes:
      records: of the records of the training database.
      features: windows in millivolts -> the model's inputs.
      other_databases: database -> preprocessing of its records, if the run had a test database of
        its own, whose leads have other names.
    """

    records: Preprocessing
    features: Features
    other_databases: Mapping[str, Preprocessing] = field(default_factory=dict)

    @classmethod
    def of_run(
        cls, records: Sequence[Preprocessing], features: Features, databases: Sequence[str]
    ) -> "ModelPreprocessing":
        """Return the preprocessing of a run.

        Args:
          records: `Dataset.preprocessings` of its dataset.
          features: of the run.
          databases: name and version of the database of each.
        """
        own, *others = (_without_cache(settings) for settings in records)
        return cls(
            records=own,
            features=features,
            other_databases=dict(zip(databases[1:], others, strict=True)),
        )

    @property
    def lead_names(self) -> tuple[str, ...]:
        """One name for each column of a window, as in `BeatSet.lead_names`."""
        names = self.records.leads
        for other in self.other_databases.values():
            names = tuple(arrow(*pair) for pair in zip(names, other.leads, strict=True))
        return names

    def for_records_of(self, database: str) -> "ModelPreprocessing":
        """Return the preprocessing for records of a database.

        Args:
          database: Name and version, e.g. `"svdb 1.0.0"`.
        """
        return replace(self, records=self.other_databases.get(database, self.records))

    def with_aliases(self, aliases: Mapping[str, str]) -> "ModelPreprocessing":
        """Return the preprocessing for records that have leads under other names.

        Args:
          aliases: Lead of the model -> its name in the records.

        Raises:
          ConfigError: The model has no such lead, or two leads would be read from one.
        """
        own = self.records
        if unknown := [name for name in aliases if name not in own.leads]:
            raise ConfigError(
                f"--lead {unknown[0]}={aliases[unknown[0]]}: the model has no lead {unknown[0]}; "
                f"use {' or '.join(own.leads)}"
            )
        recorded = [{**own.lead_aliases, **aliases}.get(name, name) for name in own.leads]
        if twice := [name for name in recorded if recorded.count(name) > 1]:
            raise ConfigError(
                f"--lead: two leads of the model would be read from {twice[0]}; use another lead "
                "of the records for one of them"
            )
        return replace(self, records=replace(own, lead_aliases={**own.lead_aliases, **aliases}))

    def inputs(self, record: Record, columns: Sequence[int]) -> BeatInputs:
        """Preprocess the beats of a record as in training.

        Args:
          record: signals and R peaks.
          columns: of the leads, see `columns`.

        Returns:
          The inputs of the model.

        Raises:
          DataError: The record cannot be resampled.
        """
        part, *_ = preprocess_record(record, columns, self.records)
        windows, rr = part["signals_mv"], part["rr"] if self.features.uses_rr else None
        inside = np.isin(record.beat_samples, part["r_samples"])
        reasons = np.where(inside, "", LEFT_RECORD).astype(object)
        templates_mv = None
        if self.features.uses_template:  # of the whole record, as in training
            templates_mv = np.broadcast_to(template(windows), windows.shape)
        if rr is not None and np.isnan(rr).any():  # the only beat of a record has no interval
            reasons[inside] = NO_INTERVAL
            windows, rr = windows[:0], rr[:0]
            templates_mv = None if templates_mv is None else templates_mv[:0]
        return BeatInputs(
            samples=record.beat_samples,
            reasons=reasons.astype(np.str_),
            signals_mv=windows,
            rr=rr,
            templates_mv=templates_mv,
        )

    def columns(self, record: Record) -> tuple[list[int], str]:
        """Choose the columns of the leads of a record.

        Args:
          record: The record.

        Returns:
          One column for each lead of the model, and which leads replace missing ones, if training
          allowed it, e.g. `"V5 replaces V1"`; else empty.

        Raises:
          DataError: A lead is missing or cannot be used, or the frequency of the record is too low
            for the band-pass filter.
        """
        settings = self.records
        # A record without the leads is refused, because the user named it, even if training
        # skips it.
        columns, missing = choose_leads(record, replace(settings, missing_lead="skip"))
        if columns is None and settings.missing_lead == "first":
            columns, missing = choose_leads(record, settings)
        if columns is None:
            raise DataError(
                f"record {record.record_id} has the leads {', '.join(record.lead_names)}, but not "
                f"{missing}, which the model needs; use another record, --lead "
                f"{settings.leads[0]}=NAME if it has the lead under another name, or a model "
                "trained on a lead of this one (dataset.leads=)"
            )
        if settings.baseline == "bandpass" and settings.bandpass_hz[1] >= record.signal_hz / 2:
            raise DataError(
                f"record {record.record_id} at {record.signal_hz:g} Hz cannot be filtered up to "
                f"{settings.bandpass_hz[1]:g} Hz as in training; use a record above "
                f"{2 * settings.bandpass_hz[1]:g} Hz"
            )
        if not missing:
            return columns, ""
        return columns, f"{substitutes_of(record, columns, settings)} replaces {missing}"

    def as_json(self) -> Stored:
        """Return the content of `preprocessing.json`."""
        own = self.records
        return {
            "format": _FORMAT,
            **_leads_of(own),
            "other_databases": {
                name: _leads_of(other) for name, other in self.other_databases.items()
            },
            "baseline": own.baseline,
            "baseline_median_ms": list(MEDIAN_MS) if own.baseline == "median" else None,
            "bandpass_hz": list(own.bandpass_hz),
            "fs_hz": own.fs_hz,
            "relocate_ms": own.relocate_ms,
            "window_ms": list(own.window_ms),
            "window_samples": list(own.window_samples),
            "template": "median" if self.features.uses_template else None,
            "rr_features": list(RR_FEATURES) if self.features.uses_rr else [],
            "features": to_node(self.features),
        }


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
        )
    except ConfigError as error:
        raise refusal(path, f"cannot be used: {error}", fix=fix) from error
    expected: Mapping[str, Any] = read.as_json()
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
        "lead_aliases": dict(settings.lead_aliases),
        "missing_lead": settings.missing_lead,
    }


def _without_cache(settings: Preprocessing) -> Preprocessing:
    """Return the settings of the preprocessing alone: a dataset has more."""
    return _built({name: getattr(settings, name) for name in (*_LEADS, *_SHARED)})
