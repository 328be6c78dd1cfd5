import os

import numpy as np
import pandas as pd
import pytest
from stubs import make_annotated

from ecgexp.inference import output_files
from ecgexp.inference.output_files import check_output, write
from ecgexp.settings.declaration import ConfigError


def test_output_files_have_the_predictions(tmp_path):
    import wfdb

    write(make_annotated([0, 1, -1, 0], "NVNL"), tmp_path / "new" / "out", "ecgexp")
    assert sorted(os.listdir(tmp_path / "new" / "out")) == ["a.csv", "a.ecgexp"]
    read = wfdb.rdann(str(tmp_path / "new" / "out" / "a"), "ecgexp")
    assert (read.sample.tolist(), read.symbol, read.fs) == (
        [100, 200, 300, 400],
        ["N", "V", "?", "N"],
        250,
    )
    table = pd.read_csv(tmp_path / "new" / "out" / "a.csv")
    assert table["class"].tolist() == ["N", "V", "unclassified", "N"]
    assert table["seconds"].tolist() == [0.4, 0.8, 1.2, 1.6]
    assert table["reference"].tolist() == list("NVNL")
    np.testing.assert_array_equal(table["probability/V"], [0.25, 0.75, np.nan, 0.25])


def test_class_without_a_symbol_is_written_as_q_with_its_name(tmp_path):
    import wfdb

    write(make_annotated([0, 1, 2, 3, -1], names=("normal", "abnormal", "P", "Q")), tmp_path, "q")
    read = wfdb.rdann(str(tmp_path / "a"), "q")
    assert read.symbol == ["N", "Q", "/", "Q", "?"]
    assert [note.rstrip("\0") for note in read.aux_note] == ["", "abnormal", "", "", ""]


def test_failed_write_leaves_previous_files(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("before")

    def full(*_args, **_kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(OSError, match="No space"):
        write(make_annotated([0, 1]), tmp_path, "ecgexp")
    assert os.listdir(tmp_path) == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "before"


@pytest.fixture
def records(tmp_path):
    """Two records in a folder that is not a database."""
    folder = tmp_path / "records"
    folder.mkdir()
    for name in "ab":
        (folder / f"{name}.hea").touch()
    return [folder / "a", folder / "b"]


def check(output, records, *, overwrite=False):
    check_output(output, records, "ecgexp", overwrite=overwrite)


def test_output_folder_beside_records_is_accepted(tmp_path, records):
    check(tmp_path / "predictions", records)
    check(tmp_path / "records" / "predictions", records)
    assert not (tmp_path / "predictions").exists()


@pytest.mark.parametrize("name", ["b.csv", "a.ecgexp"])
def test_existing_file_is_refused_without_overwrite(tmp_path, records, name):
    (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=rf"{name} exists already; use --overwrite"):
        check(tmp_path, records)
    check(tmp_path, records, overwrite=True)


def test_folder_of_records_is_refused_with_overwrite(records):
    with pytest.raises(ConfigError, match="in a folder of records"):
        check(records[0].parent, records, overwrite=True)


@pytest.mark.parametrize("inside", [".", "predictions", "x/../deep/er"])
def test_folder_below_a_database_is_refused(records, inside):
    (records[0].parent / "RECORDS").touch()
    with pytest.raises(ConfigError, match="in a folder of records"):
        check(records[0].parent / inside, records)


def test_link_into_a_database_is_refused(tmp_path, records):
    (records[0].parent / "RECORDS").touch()
    (tmp_path / "link").symlink_to(records[0].parent, target_is_directory=True)
    with pytest.raises(ConfigError, match="in a folder of records"):
        check(tmp_path / "link" / "predictions", records)


def test_two_records_with_one_name_are_refused(tmp_path, records):
    with pytest.raises(ConfigError, match="two records are called a"):
        check(tmp_path / "out", [*records, tmp_path / "elsewhere" / "a"])


def test_output_that_is_a_file_is_refused(tmp_path, records):
    (tmp_path / "out").touch()
    with pytest.raises(ConfigError, match="not a folder; use another --output"):
        check(tmp_path / "out", records)


def test_output_names_are_record_and_extension():
    names = output_files.names_of("100", "ex", ("wfdb", "edf"), has_figure=True)
    assert names == ("100.ex", "100.edf", "100.summary.png", "100.summary.txt")


def test_unfinished_record_is_refused_without_resume(tmp_path, records):
    (tmp_path / "out" / "a.unfinished").mkdir(parents=True)
    with pytest.raises(ConfigError, match="use --resume to continue it, or --overwrite"):
        check(tmp_path / "out", records)
