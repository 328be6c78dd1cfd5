"""A model that needs no TensorFlow.

It classifies a beat as V if the largest value of its window is above half a millivolt.
"""

from types import SimpleNamespace

import numpy as np

from ecgexp.data.formats.record import Record
from ecgexp.data.preprocessing.one_record import LEFT_RECORD
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.features.inputs import SignalFeatures
from ecgexp.inference.model import TrainedModel
from ecgexp.inference.record import Annotated
from ecgexp.inference.training_patients import Exposure
from ecgexp.models.preprocessing import ModelPreprocessing

NAMES = ("N", "V")
CLASS_OF = {"N": 0, "L": 0, "V": 1}


def make_model(
    *,
    uses_rr=False,
    uses_template=False,
    database="tiny 1",
    tested_on=None,
    names=NAMES,
    unlearned=(),
    **preprocessing,
):
    seen = []

    def predict_probabilities(signals_mv, rr=None, templates_mv=None, record_values=None):
        seen.append((signals_mv, rr, templates_mv))
        is_v = (signals_mv.max(axis=(1, 2)) > 0.5).astype(float)
        return np.stack([0.9 - 0.8 * is_v, 0.1 + 0.8 * is_v], axis=1)

    settings = Preprocessing(**{"baseline": "none", "window_ms": (100.0, 100.0), **preprocessing})
    features = SignalFeatures(normalize="record" if uses_template else "beat", rr=uses_rr)
    classifier = SimpleNamespace(
        class_names=names,
        preprocessing=ModelPreprocessing(records=settings, features=features),
        fs_hz=settings.fs_hz,
        database=database,
        classes_without_training_beats=unlearned,
        predict_probabilities=predict_probabilities,
        seen=seen,
    )
    exposure = Exposure(database=database.split(" -> ")[0], tested_on=tested_on or {})
    return TrainedModel(
        name="run",
        classifier=classifier,
        class_of=CLASS_OF,
        exposure=exposure,
    )


def make_record(
    samples=(5, 400, 800, 1200), symbols="NNVN", *, leads=("MLII", "V1"), fs_hz=360.0, seconds=4
):
    """Flat but for one high sample at every annotated V."""
    signals_mv = np.zeros((round(seconds * fs_hz), len(leads)))
    for sample, symbol in zip(samples, symbols, strict=True):
        signals_mv[sample, 0] = 1.0 if symbol == "V" else 0.1
    return Record(
        record_id="a",
        patient_id="a",
        signals_mv=signals_mv,
        lead_names=leads,
        fs_hz=fs_hz,
        samples=np.asarray(samples, np.int64),
        symbols=np.asarray(list(symbols), np.str_),
    )


def make_annotated(predicted, references="", *, names=NAMES, record_id="a", **others):
    """`predicted`: one class index a beat, -1 for a beat without window; `references`.

    Of the first beats.
    """
    predicted = np.asarray(predicted)
    probabilities = np.where(
        predicted[:, None] == np.arange(len(names)), 0.75, 0.25 / (len(names) - 1)
    )
    probabilities[predicted < 0] = np.nan
    values = {
        "fs_hz": 250.0,
        "source": "reference",
        "samples": 100 * np.arange(1, len(predicted) + 1),
        "references": np.asarray([*references, *[""] * (len(predicted) - len(references))]),
        "reasons": np.where(predicted < 0, LEFT_RECORD, ""),
        **others,
    }
    return Annotated(
        record_id=record_id, class_names=tuple(names), probabilities=probabilities, **values
    )
