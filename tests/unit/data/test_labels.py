"""Symbols of annotations: own symbols, notes, and what is counted as unknown."""

from collections import Counter

import numpy as np
import pytest
import wfdb
from tiny_records import write_record

from ecgexp.data import FolderDataset
from ecgexp.data.formats.labels import OTHER_NOTE, WITHOUT_NOTE, Labels


def test_own_symbols_are_mapped_and_unknown_ones_counted():
    notes = Counter()
    labels = Labels(symbols={"[42]": "V", "N": "L"})
    found = labels.of(np.array(["N", "[42]", "[43]", "A"]), np.array([""] * 4), notes)
    assert found.tolist() == ["L", "V", "[43]", "A"]
    assert dict(notes) == {
        "annotation with the unknown symbol [43], no beat unless dataset.symbols maps it": 1
    }


def test_notes_are_symbols_and_free_text_is_not_shown():
    aux = ["N ", "PVC", "", "(AFIB", *["SVEB"] * 5, "Jane Doe", *["Jane Q. Doe, born 1950"] * 9]
    notes = Counter()
    labels = Labels(symbols_from="aux_note", symbols={"PVC": "V"})
    found = labels.of(np.full(len(aux), "N"), np.array(aux), notes)
    assert found.tolist() == ["N", "V", *['"'] * (len(aux) - 2)]
    shown = "annotation with the unknown symbol SVEB, no beat unless dataset.symbols maps it"
    assert dict(notes) == {shown: 5, WITHOUT_NOTE: 1, OTHER_NOTE: 11}
    assert "Jane" not in str(notes)


def test_symbol_is_used_where_the_note_states_none():
    notes = Counter()
    labels = Labels(symbols_from="aux_note_or_symbol", symbols={"PVC": "V", "PAC": "A"})
    rows = [('"', "N"), ("N", "PVC "), ("L", ""), ("+", "(N"), ("PAC", "Jane"), ("odd", "Jane")]
    found = labels.of(*np.array(rows).T, notes)
    assert found.tolist() == ["N", "V", "L", "+", "A", "odd"]
    assert [key.split()[5] for key in notes] == ["odd,"]


@pytest.mark.parametrize("from_notes", [False, True])
def test_folder_reads_labels_from_symbols_or_notes(tmp_path, from_notes):
    write_record(tmp_path, "a")
    samples = np.array([200, 500, 800])
    wfdb.wrann(
        "a", "ann", samples, ["N"] * 3, aux_note=["N", "PVC", "x y"], write_dir=str(tmp_path)
    )
    dataset = FolderDataset(
        path=tmp_path,
        window_ms=(100, 100),
        annotator="ann",
        symbols_from="aux_note" if from_notes else "symbol",
        symbols={"PVC": "V"},
    )
    assert dataset.load().symbols.tolist() == (["N", "V"] if from_notes else ["N"] * 3)


def test_symbols_that_are_not_of_wfdb_are_refused():
    with pytest.raises(ValueError, match=r"dataset\.symbols: 'PVC' .*map to symbols such as N"):
        FolderDataset(path="x", symbols={"V": "PVC"})
