"""Console report of annotated records: counts, agreement with the reference, beat detection."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgexp.data.formats.annotation_writer import UNCLASSIFIED
from ecgexp.evaluation.beat_matching import TOLERANCE_MS
from ecgexp.evaluation.missing import over
from ecgexp.evaluation.names import metric_names
from ecgexp.formatting import score_text
from ecgexp.inference.agreement import Agreement, agree
from ecgexp.inference.model import TrainedModel
from ecgexp.inference.record import Annotated

if TYPE_CHECKING:
    from rich.table import Table


def model_notes(model: TrainedModel) -> Iterator[str]:
    """Return the limitations of the model's predictions for any record.

    Args:
      model: The model.

    Yields:
      One text for each limitation.
    """
    unlearned = model.classifier.classes_without_training_beats
    if unlearned is None:
        yield (
            "the saved model does not state which classes had training beats, as with a privacy "
            "guarantee"
        )
    elif unlearned:
        names = ", ".join(unlearned)
        yield (
            f"the model had no training beat of class {names}: it cannot have learned {names}, and "
            "predicts other classes instead"
        )


def agreement_notes(model: TrainedModel, records: Sequence[Annotated]) -> Iterator[str]:
    """Return the limitations of the agreement over all records.

    Args:
      model: The model.
      records: The annotated records.

    Yields:
      One text for each limitation.
    """
    agreement = agree(model, records)
    if not agreement.num_beats:
        return
    names, true, predicted = (
        agreement.class_names,
        agreement.confusion.sum(axis=1),
        agreement.confusion.sum(axis=0),
    )
    if absent := [name for name, count in zip(names, true, strict=True) if not count]:
        yield f"no reference beat is of class {', '.join(absent)}, so that they are not evaluated"
    if (predicted > 0).sum() == 1 and agreement.num_beats > 1:
        only = names[int(predicted.argmax())]
        yield f"the model predicts {only} for each of {agreement.num_beats} beats"
    usable = agree(model, records, with_marked=False)
    if usable.num_beats < agreement.num_beats:
        accuracies = [
            score_text(one.scores().get("accuracy", math.nan)) for one in (agreement, usable)
        ]
        yield (
            f"accuracy {accuracies[0]} on all {agreement.num_beats} beats, {accuracies[1]} on the "
            f"{usable.num_beats} of them in segments that show a usable ECG"
        )


def render(model: TrainedModel, records: Sequence[Annotated]) -> Iterator[Any]:
    """Create the tables of the report.

    Args:
      model: The model.
      records: The annotated records.

    Yields:
      Tables of rich: beats of each class; with a reference, also agreement and detection.
    """
    yield _counts(model, records)
    agreement = agree(model, records)
    if agreement.num_beats:
        yield _agreement(agreement)
    if found := [record for record in records if record.detection is not None]:
        yield _detection(found)


def notes(
    model: TrainedModel,
    record: Annotated,
    *,
    database: str,
    patient_id: str,
    known_as: str | None = None,
) -> Iterator[str]:
    """Return notes on one record.

    Args:
      model: The model.
      record: The annotated record.
      database: Database of the record, named like that of the model.
      patient_id: Patient of the record, named as in the database.
      known_as: Name of the record in the database, if it is a copy under another name.

    Yields:
      The notes.
    """
    classifier = model.classifier
    if database.startswith("synthetic"):
        yield f"{record.record_id}: a synthetic record of a virtual patient"
    for lead, alias in record.aliases.items():
        yield f"{record.record_id}: lead {alias} of the record is used as {lead} of the model"
    if record.substitute:
        yield f"{record.record_id}: {record.substitute}, as allowed in training"
    if record.fs_hz != classifier.fs_hz:
        yield (
            f"{record.record_id}: resampled from {record.fs_hz:g} to the model's "
            f"{classifier.fs_hz:g} Hz"
        )
    for reason, number in Counter(record.reasons[record.reasons != ""].tolist()).items():
        yield f"{record.record_id}: unclassified beats, {reason}: {number}"
    marks = [] if record.quality is None else record.quality[record.is_marked].tolist()
    for mark, number in Counter(marks).items():
        yield (
            f"{record.record_id}: no usable ECG, {mark}: {number} of {len(record.samples)} beats, "
            f"annotated as {UNCLASSIFIED}"
        )
    if record.num_outside:
        yield f"{record.record_id}: annotations outside the record, left out: {record.num_outside}"
    if database == model.learned_from:
        known_as = known_as or record.record_id
        yield from model.exposure.notes(
            record.record_id, known_as, patient_id, _comparable(model, record, known_as)
        )


def _comparable(model: TrainedModel, record: Annotated, known_as: str) -> np.ndarray:
    """Return the samples of beats with a class, which may be test beats.

    Detected beats of a tested record are close to its test beats, but not at the same samples.
    """
    labeled = record.is_classified & (model.labels(record.references) >= 0)
    if record.source == "detector" and known_as in model.exposure.tested_on:
        return record.samples[:0]
    return record.samples[labeled]


def _counts(model: TrainedModel, records: Sequence[Annotated]) -> "Table":
    names = model.classifier.class_names
    shown = any(record.num_unclassified for record in records)
    table = _table(f"{model.name} · trained on {model.learned_from}", "record", "source of beats")
    for name in ("beats", *names, *([UNCLASSIFIED] if shown else []), "accuracy"):
        table.add_column(name, justify="right")
    for record in records:
        numbers = [
            len(record.samples),
            *record.counts.values(),
            *([record.num_unclassified] if shown else []),
        ]
        accuracy = agree(model, [record]).scores()["accuracy"]
        table.add_row(record.record_id, record.source, *map(str, numbers), _number(accuracy))
    return table


def _agreement(agreement: Agreement) -> "Table":
    scores, keys = agreement.scores(), metric_names(agreement.class_names)
    table = _table(f"agreement with the reference, {agreement.num_beats} beats", "reference")
    for name in (*agreement.class_names, "sensitivity"):
        table.add_column(name, justify="right")
    for name, key, row in zip(agreement.class_names, keys, agreement.confusion, strict=True):
        table.add_row(name, *map(str, row.tolist()), _number(scores[f"sensitivity/{key}"]))
    table.add_section()
    table.add_row("+P", *(_number(scores[f"positive_predictivity/{key}"]) for key in keys))
    without = agreement.num_without_class
    present = [
        name
        for name, row in zip(agreement.class_names, agreement.confusion, strict=True)
        if row.sum()
    ]
    macro_f1 = f"macro F1 {over(present, agreement.class_names)}".rstrip()
    table.caption = (
        f"accuracy {_number(scores['accuracy'])} · {macro_f1} {_number(scores['macro_f1'])} · "
        f"κ {_number(scores['kappa'])}"
        + (f" · {without} other beats are of no class of the model" if without else "")
    )
    return table


def _detection(records: Sequence[Annotated]) -> "Table":
    table = _table(f"detector against the reference, within {TOLERANCE_MS:g} ms", "record")
    for name in ("reference beats", "detected", "matched", "sensitivity", "+P"):
        table.add_column(name, justify="right")
    for record in records:
        found = record.detection
        if found is None:
            continue
        numbers = (len(found.partners), found.num_detected, found.num_matched)
        scores = (found.sensitivity, found.positive_predictivity)
        table.add_row(
            record.record_id, *map(str, numbers), *(_number(score, digits=4) for score in scores)
        )
    return table


def _table(title: str, *columns: str) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name)
    return table


def _number(value: float, digits: int = 3) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
