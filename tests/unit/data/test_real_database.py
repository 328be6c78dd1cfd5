"""Counts of mitdb, as published or determined once with independent code."""

from dataclasses import replace

import numpy as np
import pytest
from mitdb_records import DS1, DS2, MITDB, WITHIN_RECORD
from omegaconf import OmegaConf

from ecgexp.data import InterPatient
from ecgexp.data.datasets.recorded import RecordedDataset
from ecgexp.data.grouping import LabelGrouping
from ecgexp.data.leakage import check_split
from ecgexp.data.preprocessing.windows import cut_windows
from ecgexp.settings.declaration import build
from ecgexp.settings.location import config_dir

pytestmark = pytest.mark.real_data
CONF = config_dir() / "grouping"
SYMBOLS = {
    "N": 75052,
    "L": 8075,
    "R": 7259,
    "V": 7130,
    "/": 7028,
    "A": 2546,
    "f": 982,
    "F": 803,
    "j": 229,
    "a": 150,
    "E": 106,
    "J": 83,
    "Q": 33,
    "e": 16,
    "S": 2,
}


def grouping(name):
    values = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    values.pop("_target_")
    return build(LabelGrouping, values, path="grouping")


@pytest.fixture(scope="module")
def annotated(real_root, tmp_path_factory):
    """All annotated beats.

    Windows are so short that almost none leaves the record; without baseline removal to save time.
    """
    return RecordedDataset(
        root=real_root, missing_lead="first", baseline="none", window_ms=(0.0, 5.6)
    ).load()


def test_beats_of_mitdb_are_109494_by_symbol(annotated):
    assert len(annotated) == 109_494
    symbols, counts = np.unique(annotated.symbols, return_counts=True)
    assert dict(zip(symbols.tolist(), counts.tolist(), strict=True)) == SYMBOLS
    assert annotated.dropped == {"window leaves the record": 0}


def test_beats_of_mitdb_are_of_47_patients(annotated):
    assert annotated.r_samples[annotated.record_ids == "100"][:3].tolist() == [77, 370, 662]
    assert len(set(annotated.record_ids.tolist())) == 48
    assert len(set(annotated.patient_ids.tolist())) == 47


def test_annotation_of_220_at_sample_0_is_read(real_root):
    from ecgexp.data.formats.wfdb_reader import read_record

    record = read_record(real_root / "mitdb/1.0.0", "220", MITDB)
    assert record.samples[0] == 0


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (DS1, {"N": 45866, "S": 944, "V": 3788, "F": 415, "Q": 8}),
        (DS2, {"N": 44259, "S": 1837, "V": 3221, "F": 388, "Q": 7}),
    ],
)
def test_aami_counts_of_ds1_and_ds2_are_published_ones(annotated, records, expected):
    beats = grouping("aami5").apply(annotated)
    assert beats.class_counts(np.flatnonzero(np.isin(beats.record_ids, records))) == expected


@pytest.mark.parametrize(("half", "lost"), [(90, 26), (144, 49), (180, 56)])
def test_beats_dropped_at_the_edges_are_counted(annotated, half, lost):
    silence = np.zeros((650_000, 1), np.float32)
    samples = [annotated.r_samples[annotated.record_ids == record] for record in MITDB.records]
    assert (
        sum(np.sum(~cut_windows(silence, r_samples, half, half)[1]) for r_samples in samples)
        == lost
    )


def test_beats_dropped_by_the_default_window_are_counted(all_beats):
    assert (len(all_beats), all_beats.dropped) == (109_494 - 26, {"window leaves the record": 26})


def test_shortest_interval_is_90_samples_in_record_203(annotated):
    shortest = annotated.rr[:, 0].argmin()
    assert annotated.record_ids[shortest] == "203"
    assert annotated.rr[shortest, 0] == pytest.approx(90 / 360)


def test_six_classes_of_the_ten_federated_records(annotated, all_beats):
    beats = grouping("nlrvpa6").apply(annotated)
    expected = {
        "100": {"N": 2239, "A": 33, "V": 1},
        "103": {"N": 2082, "A": 2},
        "104": {"P": 1380, "N": 163, "V": 2},
        "124": {"R": 1531, "V": 47, "A": 2},
        "207": {"L": 1457, "A": 107, "V": 105, "R": 86},
        "208": {"N": 1586, "V": 992},
        "213": {"N": 2641, "V": 220, "A": 25},
        "220": {"N": 1954, "A": 94},
        "222": {"N": 2062, "A": 208},
        "223": {"N": 2029, "V": 473, "A": 72},
    }
    for record, counts in expected.items():
        found = beats.class_counts(np.flatnonzero(beats.record_ids == record))
        assert {name: count for name, count in found.items() if count} == counts
    windowed = grouping("nlrvpa6").apply(all_beats)
    assert np.isin(windowed.record_ids, WITHIN_RECORD).sum() == 21_585


def test_records_without_mlii_are_left_out_and_named(real_root, caplog):
    beats = RecordedDataset(
        root=real_root, records=("100", "102", "104", "114"), baseline="none"
    ).load()
    assert set(beats.record_ids.tolist()) == {"100", "114"}
    assert "records 102, 104 lack a lead" in caplog.text
    assert beats.dropped["record 102 has no lead MLII"] == 2187


def test_csv_and_wfdb_layouts_give_identical_beats(real_root):
    wfdb = RecordedDataset(root=real_root, records=("100", "114"))
    csv = replace(wfdb, layout="kaggle_csv").load()
    for name in ("signals_mv", "rr", "symbols", "record_ids", "patient_ids", "r_samples"):
        np.testing.assert_array_equal(getattr(csv, name), getattr(wfdb.load(), name))


def test_inter_patient_split_of_mitdb_shares_one_patient(all_beats, caplog):
    beats = grouping("aami5").apply(all_beats)
    split = InterPatient().split(beats, np.random.default_rng(0))
    check_split(beats, split)
    assert "201 and 202 come from one patient" in caplog.text
    for part in (split.train, split.validation):
        assert min(beats.class_counts(part).values()) > 0
