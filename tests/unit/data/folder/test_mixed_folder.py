"""A folder of every layout and format is read as it was written; see `mixed_folder`."""

import numpy as np
import pytest
import wfdb
from mixed_folder import FORMATS, write_mixed_folder

from ecgexp.analysis.inspection.inspect import inspect
from ecgexp.config.data_settings import load_data_settings
from ecgexp.data import FolderDataset

NOT_READ_BY_WFDB = ("formats/format61",)
OPTIONS = {"leads": ["II"], "symbols_from": "aux_note_or_symbol"}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """The folder, and name -> what is in it."""
    folder = tmp_path_factory.mktemp("mixed") / "mixed"
    return folder, {each.name: each for each in write_mixed_folder(folder, seconds=30)}


def assert_as_written(lead_mv, expected):
    """Equal but for rounding, where there is no gap."""
    begin, end = expected.gap or (0, 0)
    there = np.r_[:begin, end : len(lead_mv)]
    np.testing.assert_allclose(
        lead_mv[there],
        expected.lead_mv[there],
        rtol=0,
        atol=0.501 * expected.step_mv,
        err_msg=expected.name,
    )


def test_recordings_of_every_layout_are_read_as_written(mixed):
    folder, made = mixed
    dataset = FolderDataset(path=folder, patients=folder / "patients.csv", **OPTIONS)
    assert set(dataset.found_records().files) == set(made)
    with dataset.open_records() as read:
        for name, expected in made.items():
            record = read(name)
            assert record.patient_id == expected.patient
            assert record.fs_hz == expected.fs_hz
            assert record.beat_samples.tolist() == expected.beats.tolist(), name
            assert record.beat_symbols.tolist() == expected.symbols.tolist(), name
            (lead,) = (one for one in record.lead_names if one in ("II", "ECG II"))
            column = record.signals_mv[:, record.lead_names.index(lead)]
            assert len(column) == len(expected.lead_mv), name
            gaps = record.gaps[lead].tolist() if lead in record.gaps else []
            assert gaps == ([list(expected.gap)] if expected.gap else []), name
            assert_as_written(column, expected)


def test_wfdb_reads_the_same_signals_of_the_mixed_folder(mixed):
    """Of all WFDB records but format 61, in which it swaps the bytes (4.3)."""
    folder, made = mixed
    there = {name for name in made if (folder / f"{name}.hea").is_file()}
    assert there > {f"formats/format{fmt}" for fmt in FORMATS}
    for name in there - set(NOT_READ_BY_WFDB):
        expected = made[name]
        record = wfdb.rdrecord(str(folder / name), smooth_frames=False)
        if record.e_p_signal is not None:
            column = record.e_p_signal[record.sig_name.index("II")]
        else:
            column = record.p_signal[:, record.sig_name.index("II")]
        assert_as_written(column, expected)


def test_mixed_folder_is_inspected_without_an_error(mixed):
    folder, made = mixed
    options = ["dataset.leads=[II]", "dataset.symbols_from=aux_note_or_symbol"]
    table = f"dataset.patients={folder}/patients.csv"
    found = inspect(
        load_data_settings(["dataset=folder", f"dataset.path={folder}", table, *options])
    )
    assert found.is_usable
    assert len(found.read.usable) == len(made)
    assert all(each.beats for each in found.classes)
