import numpy as np
import pytest

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.wfdb_reader import read_record
from ecgexp.data.preprocessing.baseline import resample
from ecgexp.data.preprocessing.qrs_detection import detect_beats
from ecgexp.data.synthetic.database import write_database
from ecgexp.evaluation.beat_matching import match_beats
from ecgexp.settings.declaration import DataError

VIRTUAL = Database(
    name="synthetic",
    version="1",
    title="",
    fs_hz=360.0,
    records=(),
    lead_names=("MLII", "V1", "V5", "V2"),
    adc_gain=200.0,
)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """Records of six virtual patients with the default noise of runs."""
    folder = tmp_path_factory.mktemp("noisy")
    patients = write_database(folder, num_patients=6, minutes=2.0, seed=1)
    return [read_record(folder, record_id, VIRTUAL) for record_id in patients]


def found_in(record, fs_hz=360.0):
    lead_mv = resample(record.signals_mv[:, 0], 360.0, fs_hz)
    reference = np.rint(record.beat_samples * fs_hz / 360).astype(np.int64)
    detected = detect_beats(lead_mv, fs_hz)
    return reference, detected, match_beats(reference, detected, fs_hz)


@pytest.mark.parametrize("fs_hz", [360.0, 128.0, 257.0, 1000.0])
def test_detection_has_few_missed_and_few_false_beats(noisy, fs_hz):
    results = [found_in(record, fs_hz) for record in noisy]
    hits = sum(found.num_matched for _, _, found in results)
    assert hits / sum(len(reference) for reference, _, _ in results) > 0.95
    assert hits / sum(len(detected) for _, detected, _ in results) > 0.95


def test_detected_peak_of_normal_beat_is_at_its_annotation(noisy):
    """Beats with bundle branch block have two peaks; the annotated one may be the smaller."""
    apart = []
    for record in noisy:
        reference, detected, found = found_in(record)
        pairs = (found.partners >= 0) & (record.beat_symbols == "N")
        apart.append(detected[found.partners[pairs]] - reference[pairs])
    apart = np.abs(np.concatenate(apart))
    assert len(apart) > 700
    assert np.median(apart) <= 2
    assert np.mean(apart <= 5) > 0.99


def test_detected_beats_increase_and_are_in_the_record(noisy):
    for record in noisy:
        detected = detect_beats(record.signals_mv[:, 0], 360.0)
        assert detected.dtype == np.int64
        assert np.all(np.diff(detected) > 0)
        assert detected[0] >= 0
        assert detected[-1] < len(record.signals_mv)


@pytest.mark.parametrize("level_mv", [0.0, -1.5])
def test_detection_in_flat_lead_is_empty(level_mv):
    assert len(detect_beats(np.full(36_000, level_mv), 360.0)) == 0


def test_detection_at_too_low_frequency_is_refused():
    with pytest.raises(DataError, match=r"no beats can be detected in 10\.0 s at 36 Hz"):
        detect_beats(np.sin(np.arange(360.0)), 36.0)


@pytest.mark.parametrize("num_samples", [2, 15])
def test_detection_in_too_short_record_is_refused(num_samples):
    with pytest.raises(
        DataError, match="no beats can be detected in 0.0 s at 360 Hz .*use a longer record"
    ):
        detect_beats(np.sin(np.arange(num_samples)), 360.0)


@pytest.mark.parametrize("num_samples", [16, 30, 300])
def test_detection_in_a_second_without_beat_is_empty(num_samples):
    assert len(detect_beats(0.001 * np.sin(np.arange(num_samples)), 360.0)) == 0
