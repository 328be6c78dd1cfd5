from dataclasses import replace

import numpy as np
import pytest
from stubs import make_model, make_record

from ecgexp.cli.predict import _check_no_copy
from ecgexp.data.preprocessing.windows import rr_features
from ecgexp.inference import record as module
from ecgexp.inference.agreement import agree
from ecgexp.settings.declaration import DataError


def annotate(model, record, **options):
    return module.annotate(model.classifier, record, **options)


@pytest.fixture
def detector(monkeypatch):
    """Set the detected samples, and return the arguments of the detector."""
    given = []

    def set_to(samples):
        def instead(lead_mv, fs_hz):
            given.append((lead_mv, fs_hz))
            return np.asarray(samples, np.int64)

        monkeypatch.setattr(module, "detect_beats", instead)
        return given

    return set_to


@pytest.fixture
def usable(monkeypatch):
    """Take the flat signals of these records for usable ones."""

    def unmarked(record, columns):
        number = len(record.beat_samples)
        return np.zeros(number, np.int8), np.zeros(number, int)

    monkeypatch.setattr(module, "record_codes", unmarked)


@pytest.mark.usefixtures("usable")
def test_annotated_beat_has_class_symbol_and_sample():
    found = annotate(make_model(), make_record(), source="reference")
    assert found.samples.tolist() == [5, 400, 800, 1200]
    assert found.classes == ["unclassified", "N", "V", "N"]
    assert found.symbols == ["?", "N", "V", "N"]
    assert found.predicted.tolist() == [-1, 0, 1, 0]
    assert (found.counts, found.num_unclassified) == ({"N": 2, "V": 1}, 1)
    assert found.detection is None


def test_table_has_one_row_per_beat():
    table = annotate(make_model(), make_record(), source="reference").table()
    assert list(table) == [
        "sample",
        "seconds",
        "class",
        "symbol",
        "probability/N",
        "probability/V",
        "reference",
        "quality",
    ]
    assert table["seconds"].tolist() == pytest.approx([5 / 360, 400 / 360, 800 / 360, 1200 / 360])
    assert table["probability/V"].tolist()[1:] == pytest.approx([0.1, 0.9, 0.1])
    assert table.loc[0, ["probability/N", "probability/V"]].isna().all()
    assert table["reference"].tolist() == ["N", "N", "V", "N"]


def test_beats_of_every_symbol_are_classified():
    found = annotate(make_model(), make_record((100, 300, 500), "+NQ"), source="reference")
    assert (found.samples.tolist(), found.references.tolist()) == ([300, 500], ["N", "Q"])
    assert found.is_classified.all()


def test_rr_features_include_beats_without_window():
    model = make_model(uses_rr=True)
    annotate(model, make_record(), source="reference")
    expected = rr_features(np.asarray([5, 400, 800, 1200]), 360.0)[1:]
    np.testing.assert_array_equal(model.classifier.seen[0][1], expected)


def test_model_without_rr_gets_no_rr_features():
    model = make_model()
    annotate(model, make_record(), source="reference")
    assert model.classifier.seen[0][1:] == (None, None)


def test_model_with_template_gets_that_of_the_record():
    model = make_model(uses_template=True)
    annotate(model, make_record(), source="reference")
    windows, _, templates_mv = model.classifier.seen[0]
    assert templates_mv.shape == windows.shape
    np.testing.assert_allclose(
        templates_mv, np.broadcast_to(np.median(windows, axis=0), windows.shape), atol=1e-6
    )


def test_detected_beats_have_own_rr_and_matched_reference(detector):
    given = detector([410, 600, 790, 1200])
    model, record = make_model(uses_rr=True), make_record()
    found = annotate(model, record, source="detector")
    assert found.samples.tolist() == [410, 600, 790, 1200]
    assert found.references.tolist() == ["N", "", "V", "N"]
    np.testing.assert_array_equal(model.classifier.seen[0][1], rr_features(found.samples, 360.0))
    assert (
        found.detection.num_matched,
        found.detection.num_detected,
        len(found.detection.partners),
    ) == (3, 4, 4)
    np.testing.assert_array_equal(given[0][0], record.signals_mv[:, 0])
    assert given[0][1] == 360.0


def test_detector_uses_the_first_lead_of_the_model(detector):
    given = detector([500, 700])
    record = make_record(leads=("V1", "MLII"))
    annotate(make_model(), record, source="detector")
    np.testing.assert_array_equal(given[0][0], record.signals_mv[:, 1])


def test_detection_without_a_reference_is_not_compared(detector):
    detector([400, 800])
    record = replace(make_record(), samples=np.zeros(0, np.int64), symbols=np.zeros(0, "<U1"))
    found = annotate(make_model(), record, source="detector")
    assert found.detection is None
    assert found.references.tolist() == ["", ""]


def test_record_of_another_frequency_is_resampled():
    model = make_model(fs_hz=180.0)
    found = annotate(model, make_record(), source="reference")
    assert model.classifier.seen[0][0].shape == (3, 36, 1)
    assert found.samples.tolist() == [5, 400, 800, 1200]


def test_leads_are_selected_by_name_in_the_models_order():
    model, record = make_model(leads=("V1", "MLII")), make_record()
    annotate(model, record, source="reference")
    windows = model.classifier.seen[0][0]
    assert (windows[:, :, 0].max(), windows[:, :, 1].max()) == (0.0, 1.0)


@pytest.mark.parametrize("missing_lead", ["error", "skip"])
def test_missing_lead_is_refused_with_the_leads_found(missing_lead):
    record = make_record(leads=("V5", "V2"))
    with pytest.raises(
        DataError,
        match="record a has the leads V5, V2, but not MLII, which the model needs; use another",
    ):
        annotate(make_model(missing_lead=missing_lead), record, source="reference")


def test_another_lead_replaces_a_missing_one_if_allowed():
    found = annotate(
        make_model(missing_lead="first"), make_record(leads=("V5", "V2")), source="reference"
    )
    assert found.substitute == "V5 replaces MLII"
    assert (
        annotate(make_model(missing_lead="first"), make_record(), source="reference").substitute
        == ""
    )


def test_substitute_names_only_the_leads_that_are_replaced():
    model = make_model(leads=("MLII", "V1"), missing_lead="first")
    found = annotate(model, make_record(leads=("MLII", "V5")), source="reference")
    assert found.substitute == "V5 replaces V1"


def test_filter_beyond_the_record_frequency_is_refused():
    with pytest.raises(
        DataError,
        match=r"record a at 72 Hz cannot be filtered up to 40 Hz.*use a record above 80 Hz",
    ):
        annotate(
            make_model(baseline="bandpass"),
            make_record((10, 100), "NN", fs_hz=72.0),
            source="reference",
        )


def test_record_without_beats_is_refused_with_a_remedy(detector):
    detector([])
    empty = make_record((), "")
    with pytest.raises(
        DataError, match="record a has no beat: the annotations have none; use --beats detector"
    ):
        annotate(make_model(), empty, source="reference")
    with pytest.raises(
        DataError, match="record a has no beat: none was detected in MLII; use --beats reference"
    ):
        annotate(make_model(), empty, source="detector")


@pytest.mark.usefixtures("usable")
def test_single_beat_is_classified_by_a_model_without_rr():
    found = annotate(make_model(), make_record((400,), "V"), source="reference")
    assert (found.symbols, found.reasons.tolist()) == (["V"], [""])


def test_single_beat_is_unclassified_by_a_model_with_rr():
    model = make_model(uses_rr=True)
    found = annotate(model, make_record((400,), "N"), source="reference")
    assert found.symbols == ["?"]
    assert found.reasons.tolist() == ["no RR interval, the only beat of its record"]
    assert model.classifier.seen == []


def test_copy_of_a_record_is_refused():
    signals_mv = np.random.default_rng(0).normal(size=(1440, 2))
    records = [replace(make_record(), record_id=name, signals_mv=signals_mv) for name in "ab"]
    records.append(replace(records[0], record_id="c", signals_mv=signals_mv[::-1]))
    done = [annotate(make_model(), record, source="reference") for record in records]
    assert all(len(one.windows) == one.is_classified.sum() for one in done)
    _check_no_copy([done[0], done[2]])
    with pytest.raises(
        DataError, match=r"records a and b hold the same heartbeats.*use only one of them"
    ):
        _check_no_copy(done)


def test_record_whose_beats_all_lack_a_window_is_unclassified():
    found = annotate(make_model(), make_record((5, 1435), "NN"), source="reference")
    assert (found.num_unclassified, found.windows) == (2, ())


def test_beat_without_usable_ecg_is_annotated_as_unknown():
    model, record = make_model(), make_record()
    flat = replace(record, signals_mv=np.zeros_like(record.signals_mv))
    found = annotate(model, flat, source="reference")
    assert found.symbols == ["?"] * 4
    assert set(found.quality) == {f"{record.lead_names[0]} flat"}
    assert found.classes[1:] != ["unclassified"] * 3  # it is classified and scored nevertheless
    assert "flat" in found.table()["quality"][1]
    assert agree(model, [found]).num_beats == 3
    assert agree(model, [found], with_marked=False).num_beats == 0
