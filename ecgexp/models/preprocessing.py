"""What turns a record into the inputs of a model: settings, and nothing computed from beats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from ecgexp.data.beats import NO_INTERVAL, arrow
from ecgexp.data.formats.record import Record
from ecgexp.data.preprocessing.one_record import (
    choose_leads,
    preprocess_record,
    substitutes_of,
)
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.data.preprocessing.windows import template
from ecgexp.features.inputs import Features
from ecgexp.features.record_beats import RecordBeats, RecordFeatures
from ecgexp.settings.declaration import ConfigError, DataError


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
    record_values: np.ndarray | None = None

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
      from_records: whether windows are cut from records; False: they are rows of a file that
        somebody else cut, and `records` states only their shape.
    """

    records: Preprocessing
    features: Features
    other_databases: Mapping[str, Preprocessing] = field(default_factory=dict)
    from_records: bool = True

    @classmethod
    def of_run(
        cls,
        records: Sequence[Preprocessing],
        features: Features,
        databases: Sequence[str],
        *,
        from_records: bool = True,
    ) -> "ModelPreprocessing":
        """Return the preprocessing of a run.

        Args:
          records: `Dataset.preprocessings` of its dataset.
          features: of the run.
          databases: name and version of the database of each.
          from_records: `Dataset.has_records` of its dataset.
        """
        own, *others = (_without_cache(settings) for settings in records)
        return cls(
            records=own,
            features=features,
            other_databases=dict(zip(databases[1:], others, strict=True)),
            from_records=from_records,
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
        recorded = [
            spelling
            for name, spellings in zip(own.leads, own.lead_spellings, strict=True)
            for spelling in ((aliases[name],) if name in aliases else spellings)
        ]
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
        part, reasons, annotated = preprocess_record(record, columns, self.records)
        windows, rr = part["signals_mv"], part["rr"] if self.features.uses_rr else None
        templates_mv = None
        if self.features.uses_template:  # of the whole record, as in training
            templates_mv = np.broadcast_to(template(windows), windows.shape)
        if rr is not None and np.isnan(rr).any():  # the only beat of a record has no interval
            reasons = np.where(reasons == "", NO_INTERVAL, reasons)
            windows, rr = windows[:0], rr[:0]
            templates_mv = None if templates_mv is None else templates_mv[:0]
        return BeatInputs(
            record_values=self._record_values(part, annotated, len(windows), record.fs_hz),
            samples=record.beat_samples,
            reasons=reasons,
            signals_mv=windows,
            rr=rr,
            templates_mv=templates_mv,
        )

    def _record_values(
        self, part: Mapping[str, np.ndarray], annotated: np.ndarray, rows: int, fs_hz: float
    ) -> np.ndarray | None:
        """Return the values of the features of the record, of the beats that are classified."""
        if not isinstance(self.features, RecordFeatures):
            return None
        if not rows:
            return np.zeros((0, self.features.num_values), np.float32)
        return self.features.of_record(
            RecordBeats(
                seconds=annotated[0] / fs_hz,
                rows=np.searchsorted(annotated[0], part["r_samples"]),
                signals_mv=part["signals_mv"],
                rr=part["rr"],
                template_mv=template(part["signals_mv"]),
            )
        )

    def columns(self, record: Record) -> tuple[list[int], str]:
        """Choose the columns of the leads of a record.

        Args:
          record: The record.

        Returns:
          One column for each lead of the model, and which leads replace missing ones, if training
          allowed it, e.g. `"V5 replaces V1"`; else empty.

        Raises:
          DataError: The model was not trained on records, a lead is missing or cannot be used, or
            the frequency of the record is too low
            for the band-pass filter.
        """
        settings = self.records
        if not self.from_records:
            raise DataError(
                f"record {record.record_id}: the model was trained on beats that somebody else cut "
                "(dataset=arrays), and how to cut a record into such beats is unknown; use a file "
                "of such beats, or a model trained on records"
            )
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


def _without_cache(settings: Preprocessing) -> Preprocessing:
    """Return the settings of the preprocessing alone: a dataset has more."""
    names = [one.name for one in fields(Preprocessing) if one.name not in ("cache_dir", "quality")]
    return Preprocessing(**{name: getattr(settings, name) for name in names})
