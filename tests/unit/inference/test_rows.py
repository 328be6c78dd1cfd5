"""Files of beats that are cut already, classified by a model that was trained on such beats."""

from types import SimpleNamespace

import numpy as np
import pytest

from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.features.inputs import SignalFeatures
from ecgexp.inference.rows import classify_rows
from ecgexp.models.preprocessing import ModelPreprocessing
from ecgexp.models.saved_preprocessing import preprocessing_json
from ecgexp.settings.declaration import DataError
from tests.support.tiny_records import write_record

PARAMS = {"dataset.labels": "None", "dataset.classes": '["N", "V"]', "dataset.ignore": "[]"}


@pytest.fixture
def model():
    """A model of beats of 30 samples that predicts V where the first sample is positive."""
    records = Preprocessing(leads=("lead1",), fs_hz=125, baseline="none", window_ms=(0, 240))
    preprocessing = ModelPreprocessing(
        records=records, features=SignalFeatures(), from_records=False
    )

    def predict(signals, rr):
        positive = (signals[:, 0, 0] > 0).astype(float)
        return np.stack([1 - positive, positive], axis=1)

    classifier = SimpleNamespace(
        preprocessing=preprocessing,
        window=30,
        leads=1,
        fs_hz=125.0,
        uses_rr=False,
        class_names=("N", "V"),
        predict_probabilities=predict,
    )
    return SimpleNamespace(
        name="run",
        classifier=classifier,
        labels=lambda symbols: np.array([{"N": 0, "V": 1}.get(one, -1) for one in symbols]),
    )


@pytest.fixture
def rows():
    rows = np.random.default_rng(0).normal(size=(6, 30))
    rows[:, 0] = [1, -1, 1, -1, 1, -1]
    return rows


def test_rows_with_labels_are_classified_and_compared(tmp_path, model, rows):
    np.savetxt(tmp_path / "b.csv", np.column_stack([rows, [1, 0, 1, 0, 1, 1]]), delimiter=",")
    found = classify_rows(model, tmp_path / "b.csv", PARAMS)
    assert (found.counts, found.agreement) == ({"N": 3, "V": 3}, (6, 5))
    table = found.table()
    assert table["reference"].tolist() == list("VNVNVV")
    assert table["class"].tolist() == list("VNVNVN")


def test_rows_without_labels_are_classified(tmp_path, model, rows):
    np.savetxt(tmp_path / "b.csv", rows, delimiter=",")
    np.savez(tmp_path / "b.npz", signals=rows)
    for name in ("b.csv", "b.npz"):
        found = classify_rows(model, tmp_path / name, PARAMS)
        assert (found.agreement, set(found.references)) == ((0, 0), {""})


def test_rows_of_another_length_raise(tmp_path, model, rows):
    np.savez(tmp_path / "b.npz", signals=rows[:, :20])
    with pytest.raises(DataError, match=r"b.npz has beats of the shape \(20, 1\).*; use"):
        classify_rows(model, tmp_path / "b.npz", PARAMS)


def test_rows_and_records_take_models_of_their_kind(tmp_path, model, rows):
    from ecgexp.data.formats.record_paths import locate
    from ecgexp.data.formats.single_record import database_of, read_single

    write_record(tmp_path, "100")
    stem = locate(str(tmp_path / "100"))
    record, _ = read_single(stem, annotator=None, leads=("MLII",), database=database_of(stem))
    with pytest.raises(DataError, match=r"record 100: .*dataset=arrays.*; use a file"):
        model.classifier.preprocessing.columns(record)
    model.classifier.preprocessing = ModelPreprocessing(
        records=Preprocessing(), features=SignalFeatures()
    )
    np.savez(tmp_path / "b.npz", signals=rows)
    with pytest.raises(DataError, match=r"^b.npz: .*; use a record"):
        classify_rows(model, tmp_path / "b.npz", PARAMS)


def test_saved_model_states_that_its_rows_were_given(model):
    assert preprocessing_json(model.classifier.preprocessing)["from_records"] is False
    cut = ModelPreprocessing(records=Preprocessing(), features=SignalFeatures())
    assert "from_records" not in preprocessing_json(cut)
