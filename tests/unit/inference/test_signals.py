import numpy as np
import pandas as pd
import pytest
from stubs import make_model, make_record

from ecgexp.data.preprocessing.windows import rr_features
from ecgexp.inference.record import annotate
from ecgexp.inference.signals import annotate_signal, classify_rows
from ecgexp.settings.declaration import DataError


def rows(record, **changes):
    """A row as in a request: lists and plain numbers."""
    values = {
        "signal_mv": record.signals_mv[:, 0].tolist(),
        "fs_hz": record.fs_hz,
        "lead": "MLII",
        "r_peaks": record.samples.tolist(),
    }
    kept = {name: value for name, value in (values | changes).items() if value is not ...}
    return pd.DataFrame([kept])


def test_signal_is_classified_as_the_record_is():
    model, record = make_model(uses_rr=True, uses_template=True), make_record()
    expected = annotate(model.classifier, record, source="reference").table()
    found = classify_rows(model.classifier, rows(record))
    assert found["record"].tolist() == [0, 0, 0, 0]
    assert found["class"].tolist() == ["unclassified", "N", "V", "N"]
    assert found["probability/V"].tolist()[0] is None
    for name in ("sample", "seconds", "class", "symbol"):
        assert found[name].tolist() == expected[name].tolist()
    for first, second in zip(*model.classifier.seen, strict=True):
        np.testing.assert_array_equal(first, second)


def test_signals_of_several_leads_are_lists_in_a_list():
    model, record = make_model(leads=("V1", "MLII")), make_record()
    leads = {"signal_mv": record.signals_mv.T.tolist(), "lead": ["MLII", "V1"]}
    assert classify_rows(model.classifier, rows(record, **leads))["class"].tolist()[2] == "V"
    assert model.classifier.seen[0][0][:, :, 1].max() == 1.0


def test_r_peaks_that_are_left_out_are_detected(monkeypatch):
    monkeypatch.setattr("ecgexp.inference.record.detect_beats", lambda *_: np.asarray([400, 800]))
    for absent in (..., None, float("nan")):
        found = classify_rows(make_model().classifier, rows(make_record(), r_peaks=absent))
        assert found["sample"].tolist() == [400, 800]


def test_annotated_signal_has_no_reference():
    record = make_record()
    found = annotate_signal(
        make_model().classifier,
        record.signals_mv,
        fs_hz=360.0,
        lead_names=record.lead_names,
        r_peaks=record.samples,
    )
    assert (found.counts, set(found.references)) == ({"N": 2, "V": 1}, {""})


def test_windows_are_classified_row_by_row():
    model = make_model(uses_rr=True)
    windows = np.zeros((3, 72, 1), np.float32)
    windows[1, 30] = 1
    rr = rr_features(np.asarray([5, 400, 800]), 360.0)
    found = classify_rows(
        model.classifier, pd.DataFrame({"window_mv": list(windows), "rr": list(rr)})
    )
    assert list(found) == ["class", "probability/N", "probability/V"]
    assert found["class"].tolist() == ["N", "V", "N"]
    given, given_rr, templates_mv = model.classifier.seen[0]
    np.testing.assert_array_equal(given, windows)
    np.testing.assert_array_equal(given_rr, rr)
    assert templates_mv is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"signal_mv": ...}, "use either signal_mv, fs_hz, lead, r_peaks or window_mv"),
        ({"window_mv": [0]}, "use either signal_mv"),
        ({"fs_hz": ...}, "the input has no column fs_hz"),
        ({"lead": "II"}, "record 0: lead=II: the model needs MLII; use lead=MLII"),
        ({"lead": None}, "lead=None is not a name, or a list of names"),
        ({"lead": 2}, "lead=2 is not a name"),
        ({"lead": ["MLII", 2]}, "lead=.* is not a name"),
        ({"signal_mv": []}, "the signal has no samples"),
        ({"fs_hz": None}, "fs_hz=None is not a number"),
        ({"fs_hz": "fast"}, "fs_hz=fast is not a number"),
        ({"lead": ["MLII", "V1"]}, "shape .* for the leads MLII, V1; use one signal for each lead"),
        ({"signal_mv": ["a"]}, "signal_mv is not a list of numbers"),
        ({"signal_mv": [float("nan")] * 9}, "the signal has NaN or infinite values"),
        ({"fs_hz": 1.0}, "fs_hz=1; use 10 to 10000 Hz"),
        ({"r_peaks": [5, 5]}, "r_peaks must be increasing whole numbers"),
        ({"r_peaks": [5.5]}, "r_peaks must be increasing whole numbers"),
        ({"r_peaks": [-1]}, "r_peaks are outside of the 1440 samples"),
        ({"r_peaks": ["a"]}, "r_peaks must be increasing whole numbers"),
        ({"r_peaks": []}, "record 0 has no beat: .*; use no r_peaks, so that beats are detected"),
    ],
)
def test_unusable_signal_is_refused(changes, words):
    with pytest.raises(DataError, match=words):
        classify_rows(make_model().classifier, rows(make_record(), **changes))


def test_windows_of_unequal_shapes_are_refused():
    with pytest.raises(DataError, match="window_mv: the rows are not arrays of numbers of one"):
        classify_rows(make_model().classifier, pd.DataFrame({"window_mv": [[[1.0]], [[1.0], [2]]]}))


def test_input_without_rows_is_refused():
    for columns in (["signal_mv", "fs_hz", "lead"], ["window_mv"]):
        with pytest.raises(DataError, match="the input has no row; use one row for each signal"):
            classify_rows(make_model().classifier, pd.DataFrame(columns=columns))


def test_signal_without_detected_beat_names_r_peaks(monkeypatch):
    monkeypatch.setattr("ecgexp.inference.record.detect_beats", lambda *_: np.zeros(0, int))
    with pytest.raises(DataError, match="none was detected in MLII; use r_peaks, or another"):
        classify_rows(make_model().classifier, rows(make_record(), r_peaks=None))


@pytest.mark.parametrize("value", [float("nan"), None, float("inf"), 1e39])
def test_window_that_is_not_finite_gets_no_class(value):
    windows = [np.zeros((72, 1)).tolist(), [[value]] + np.zeros((71, 1)).tolist()]
    with pytest.raises(DataError, match="row 1: window_mv has NaN or infinite values; use beats"):
        classify_rows(make_model().classifier, pd.DataFrame({"window_mv": windows}))


def test_rr_that_is_not_finite_gets_no_class():
    beats = {"window_mv": [np.zeros((72, 1))], "rr": [np.full(20, np.nan)]}
    with pytest.raises(DataError, match="row 0: rr has NaN or infinite values; use beats"):
        classify_rows(make_model(uses_rr=True).classifier, pd.DataFrame(beats))


def test_probabilities_that_are_not_finite_name_no_class(monkeypatch):
    model = make_model()
    monkeypatch.setattr(
        model.classifier, "predict_probabilities", lambda *_: np.full((1, 2), np.nan)
    )
    with pytest.raises(DataError, match="row 0: the probabilities have NaN or infinite values"):
        classify_rows(model.classifier, pd.DataFrame({"window_mv": [np.zeros((72, 1))]}))
