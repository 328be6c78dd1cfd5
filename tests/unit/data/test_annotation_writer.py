import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgexp.data.formats.annotation_writer import (
    UNCLASSIFIED,
    check_extension,
    symbol_of,
    write_annotations,
)
from ecgexp.data.formats.integrity import check_annotation_file
from ecgexp.data.formats.record import BEAT_SYMBOLS
from ecgexp.settings.declaration import ConfigError


def test_symbol_of_every_shipped_class_is_that_of_its_beats():
    assert [symbol_of(name) for name in "NSVFQ"] == list("NSVFQ")
    assert [symbol_of(name) for name in "NLRVPA"] == list("NLRV/A")
    assert [symbol_of(name) for name in ("normal", "abnormal", "ectopic")] == ["N", "Q", "Q"]


def test_symbol_of_unclassified_beats_is_of_no_class():
    assert UNCLASSIFIED in BEAT_SYMBOLS
    assert UNCLASSIFIED not in [symbol_of(name) for name in (*"NSVFQLRPA", "normal", "abnormal")]


@pytest.mark.parametrize("extension", ["ecgexp", "EX", "q"])
def test_extension_of_letters_is_accepted(extension):
    check_extension(extension)


@pytest.mark.parametrize("extension", ["", "a1", "../x", "a.b", "atr", "csv", "HEA", "dat"])
def test_other_extensions_are_refused(extension):
    with pytest.raises(ConfigError, match=r"the extension .* is refused.*use e\.g\. ecgexp"):
        check_extension(extension)


@settings(max_examples=50)
@given(
    st.sets(st.integers(0, 3_000_000), min_size=1, max_size=40),
    st.sampled_from([360.0, 128.0, 257.0, 250.5]),
    st.data(),
)
def test_wfdb_reads_back_what_was_written(tmp_path_factory, samples, fs_hz, data):
    import wfdb

    folder = tmp_path_factory.mktemp("written")
    samples = np.sort(list(samples))
    symbols = [data.draw(st.sampled_from(BEAT_SYMBOLS)) for _ in samples]
    notes = [data.draw(st.sampled_from(["", "abnormal"])) for _ in samples]
    file = write_annotations(
        folder, "r_1", "ecgexp", samples=samples, symbols=symbols, notes=notes, fs_hz=fs_hz
    )
    read = wfdb.rdann(str(folder / "r_1"), "ecgexp")
    assert read.sample.tolist() == samples.tolist()
    assert read.symbol == symbols
    assert [note.rstrip("\0") for note in read.aux_note] == notes
    assert read.fs == fs_hz
    check_annotation_file(file, database=None)
