"""What the console shows of annotated records: counts, agreement with the reference, and how well beats were found."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgexp.data.formats.annotation_writer import UNCLASSIFIED
from ecgexp.evaluation.beat_matching import TOLERANCE_MS
from ecgexp.evaluation.missing import over
from ecgexp.evaluation.names import metric_names
from ecgexp.inference.agreement import Agreement, agree
from ecgexp.inference.model import TrainedModel
from ecgexp.inference.record import Annotated

if TYPE_CHECKING:
    from rich.table import Table


def model_notes(model: TrainedModel) -> Iterator[str]:
    """What the model's answers do not rest on, whatever the record."""
    unlearned = model.classifier.classes_without_training_beats
    if unlearned is None:
        yield "the saved model does not tell which classes had training beats, as under a privacy guarantee"
    elif unlearned:
        names = ", ".join(unlearned)
        yield f"the model had no training beat of class {names}: it cannot have learned {names}, and answers something else"


def agreement_notes(model: TrainedModel, records: Sequence[Annotated]) -> Iterator[str]:
    """What the agreement over all records does not rest on."""
    agreement = agree(model, records)
    if not agreement.num_beats:
        return
    names, true, answered = (
        agreement.class_names,
        agreement.confusion.sum(axis=1),
        agreement.confusion.sum(axis=0),
    )
    if absent := [name for name, count in zip(names, true, strict=True) if not count]:
        yield f"no reference beat is of class {', '.join(absent)}: agreement says nothing of them"
    if (answered > 0).sum() == 1 and agreement.num_beats > 1:
        only = names[int(answered.argmax())]
        yield f"the model answers {only} for each of {agreement.num_beats} beats, and never any other class"


def render(model: TrainedModel, records: Sequence[Annotated]) -> Iterator[Any]:
    """The tables, as rich objects: beats of each class, then agreement and detection where a reference is known."""
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
    """What a reader of the tables must know of one record.

    Args:
      model: what classified it.
      record: the outcome.
      database: of the record, as the model names its own.
      patient_id: whose record it is, as that database names patients.
      known_as: what that database calls the record, where it is a copy under another name.
    """
    classifier = model.classifier
    if database.startswith("synthetic"):
        yield f"{record.record_id}: a synthetic record, no heart made it"
    if record.substitute:
        wanted = ", ".join(model.preprocessing.leads)
        yield f"{record.record_id}: {record.substitute} stands in for {wanted}, as training allowed"
    if record.fs_hz != classifier.fs_hz:
        yield f"{record.record_id}: resampled from {record.fs_hz:g} to the model's {classifier.fs_hz:g} Hz"
    for reason, number in Counter(record.reasons[record.reasons != ""].tolist()).items():
        yield f"{record.record_id}: unclassified beats, {reason}: {number}"
    if record.num_outside:
        yield f"{record.record_id}: annotations outside the record, left out: {record.num_outside}"
    if database == model.learned_from:
        known_as = known_as or record.record_id
        yield from model.exposure.notes(
            record.record_id, known_as, patient_id, _comparable(model, record, known_as)
        )


def _comparable(model: TrainedModel, record: Annotated, known_as: str) -> np.ndarray:
    """Samples of beats with a class, which may be test beats; a detector's are near those of a tested record, not at them."""
    labelled = record.is_classified & (model.labels(record.references) >= 0)
    if record.source == "detector" and known_as in model.exposure.tested_on:
        return record.samples[:0]
    return record.samples[labelled]


def _counts(model: TrainedModel, records: Sequence[Annotated]) -> "Table":
    names = model.classifier.class_names
    shown = any(record.num_unclassified for record in records)
    table = _table(f"{model.name} · trained on {model.learned_from}", "record", "beats of")
    for name in ("beats", *names, *([UNCLASSIFIED] if shown else []), "agreement"):
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
        f"accuracy {_number(scores['accuracy'])} · {macro_f1} {_number(scores['macro_f1'])} · κ {_number(scores['kappa'])}"
        + (f" · {without} beats more are of no class of the model" if without else "")
    )
    return table


def _detection(records: Sequence[Annotated]) -> "Table":
    table = _table(f"detector against the reference, within {TOLERANCE_MS:g} ms", "record")
    for name in ("reference beats", "detected", "both", "sensitivity", "+P"):
        table.add_column(name, justify="right")
    for record in records:
        found = record.detection
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
