import json
from dataclasses import replace

import numpy as np
import pytest
from stubs import make_record

from ecgexp.data.datasets.synthetic import SyntheticDataset
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.features.inputs import ImageFeatures, SignalFeatures
from ecgexp.models.preprocessing import ModelPreprocessing
from ecgexp.models.saved_preprocessing import FILE, preprocessing_json, read_preprocessing
from ecgexp.settings.declaration import DataError

OWN = Preprocessing(
    leads=("V1", "MLII"),
    lead_aliases={"MLII": "II"},
    missing_lead="first",
    fs_hz=250.0,
    baseline="bandpass",
    bandpass_hz=(1.0, 30.0),
    window_ms=(200.0, 300.0),
    relocate_ms=20.0,
)
OTHER = replace(OWN, leads=("ECG1", "ECG2"), lead_aliases={})
FEATURES = SignalFeatures(normalize="record", difference=True, rr="rhythm")


def write(folder, preprocessing, **changes):
    (folder / FILE).write_text(json.dumps({**preprocessing_json(preprocessing), **changes}))
    return folder


@pytest.mark.parametrize("features", [FEATURES, ImageFeatures(size=32), SignalFeatures()])
@pytest.mark.parametrize("others", [{}, {"svdb 1.0.0": OTHER}])
def test_preprocessing_is_read_as_it_was_written(tmp_path, features, others):
    ours = ModelPreprocessing(records=OWN, features=features, other_databases=others)
    assert read_preprocessing(write(tmp_path, ours), fix="") == ours


def test_file_states_all_that_a_window_depends_on():
    stored = preprocessing_json(ModelPreprocessing(records=OWN, features=FEATURES))
    assert (stored["format"], stored["fs_hz"], stored["window_samples"]) == (1, 250.0, [50, 75])
    assert (stored["leads"], stored["lead_aliases"]) == (["V1", "MLII"], {"MLII": "II"})
    assert (stored["template"], len(stored["rr_features"])) == ("median", 20)
    assert stored["features"]["normalize"] == "record"
    default = ModelPreprocessing(records=Preprocessing(), features=FEATURES)
    assert preprocessing_json(default)["baseline_median_ms"] == [200.0, 600.0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, "has format 2, and this version reads format 1; train the model again"),
        ({"baseline": "wavelet"}, "dataset.baseline='wavelet' is not usable"),
        ({"rr_features": ["rr_s"]}, "states rr_features="),
        ({"window_samples": [90, 90]}, "states window_samples="),
        ({"features": {"_target_": "os.system"}}, "not the public name of a settings class"),
        ({"leads": "MLII"}, "is damaged"),
    ],
)
def test_file_of_another_version_is_refused(tmp_path, changes, words):
    folder = write(tmp_path, ModelPreprocessing(records=OWN, features=FEATURES), **changes)
    with pytest.raises(DataError, match=r"preprocessing\.json") as refused:
        read_preprocessing(folder, fix="train it again")
    assert words in str(refused.value)


def test_preprocessing_of_a_run_has_nothing_of_its_dataset():
    dataset = SyntheticDataset(num_patients=12, leads=("V1",))
    found = ModelPreprocessing.of_run(dataset.preprocessings, FEATURES, ("synthetic 1",))
    assert found == ModelPreprocessing(records=Preprocessing(leads=("V1",)), features=FEATURES)


def test_records_of_the_test_database_have_their_own_leads():
    ours = ModelPreprocessing(records=OWN, features=FEATURES, other_databases={"svdb 1.0.0": OTHER})
    assert ours.lead_names == ("V1 -> ECG1", "MLII -> ECG2")
    assert ours.for_records_of("svdb 1.0.0").records == OTHER
    assert ours.for_records_of("record a").records == OWN


def test_lead_is_read_under_its_alias_only():
    settings = Preprocessing(baseline="none", lead_aliases={"MLII": "V1"})
    ours = ModelPreprocessing(records=settings, features=SignalFeatures())
    record = make_record((400, 800), "NV")
    assert ours.columns(record) == ([1], "")
    np.testing.assert_array_equal(ours.inputs(record, [1]).signals_mv, 0)
    with pytest.raises(DataError, match="has the leads MLII, V5, but not V1"):
        ours.columns(make_record(leads=("MLII", "V5")))
