"""Annotations are read as the words of the file state, and invalid files are refused."""

import struct

import numpy as np
import pandas as pd
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_records import TINY

from ecgexp.data.formats.record import BEAT_SYMBOLS
from ecgexp.data.formats.wfdb_annotations import SYMBOLS, read_annotations
from ecgexp.settings.declaration import DataError

N, V, NOTE, SKIP, NUM, SUB, CHAN, AUX = 1, 5, 22, 59, 60, 61, 62, 63
END = 0


def word(code, value=0):
    return code << 10 | value


def aux(text):
    padded = text.encode("latin-1") + bytes(len(text) % 2)
    return [word(AUX, len(text)), *struct.unpack(f"<{len(padded) // 2}H", padded)]


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    path = tmp_path_factory.mktemp("annotations") / "a.atr"

    def _read(words, fs_hz=360.0):
        path.write_bytes(
            words if isinstance(words, bytes) else struct.pack(f"<{len(words)}H", *words)
        )
        found = read_annotations(path, fs_hz, TINY)
        return list(zip(found.samples.tolist(), found.symbols.tolist(), strict=True))

    return _read


def test_annotation_words_are_read_as_specified(read):
    steps = [SKIP << 10, 1, 2, word(N, 3)]
    words = [
        word(N, 5),
        word(V, 1000),
        *steps,
        word(SUB, 1),
        word(CHAN, 1),
        word(NUM, 2),
        *aux("(VT"),
        END,
    ]
    assert read(words) == [(5, "N"), (1005, "V"), (1005 + 65538 + 3, "N")]
    assert read([SKIP << 10, 0xFFFF, 0xFF9C, word(N, 100), END]) == [(0, "N")]  # a step of -100
    assert read([SKIP << 10, 0, 7, SKIP << 10, 0, 8, word(N, 1), END]) == [(16, "N")]
    assert read([END, END]) == []
    assert read([word(N, 1), END, END, END]) == [(1, "N")]  # padded
    assert read([word(42, 1), word(49, 1), END]) == [(1, "[42]"), (2, "[49]")]


def test_note_that_looks_like_words_is_read_as_a_note(read):
    hidden = "".join(
        chr(byte) for code in (0, N, SKIP, AUX) for byte in struct.pack("<H", word(code, 200))
    )
    assert read([word(N, 1), *aux(hidden), word(V, 1), END]) == [(1, "N"), (2, "V")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([word(N, 1), END, word(V, 1), END], "has words after WFDB's end mark"),
        ([word(N, 1), *aux("ab"), 0, word(V, 1), END], "has words after"),
        ([word(15, 1), END], "word 0 has the code 15"),
        ([word(N, 1), word(17, 1), END], "word 1 has the code 17"),
        ([word(0, 1), END], "word 0 has the code 0"),
        ([word(50, 1), END], "has the code 50"),
        ([word(SUB, 1), word(N, 1), END], "has attributes before the first annotation"),
        ([*aux("x"), word(N, 1), END], "has attributes before the first annotation"),
        ([*aux("x"), END], "has attributes before the first annotation"),
        ([word(N, 1), word(AUX, 200), 1, END], "the note at word 1 does not end"),
        ([word(N, 1), word(AUX, 300), *[1] * 200, END], "the note at word 1 does not end"),
        ([word(N, 1), SKIP << 10, END], "the step at word 1 is incomplete"),
        ([word(N, 1), word(SKIP, 4), 0, 0, word(N, 1), END], "the step at word 1 is incomplete"),
        ([SKIP << 10, 0, 5, END], "the step at word 0 is incomplete|has no annotation"),
        ([word(N, 1), SKIP << 10, 0, 5, END, END], "the step at word 1 has no annotation"),
        (
            [word(N, 1), SKIP << 10, 0, 5, word(SUB, 1), word(N, 1), END],
            "the step at word 1 has no annotation",
        ),
    ],
)
def test_invalid_annotation_file_is_refused(read, words, said):
    with pytest.raises(DataError, match=rf"a\.atr .*({said}).*write it again"):
        read(words)


def about(*notes):
    return [part for note in notes for part in (word(NOTE, 0), *aux(note))]


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        (["## time resolution: 360", "## time resolution: 250"], "which states no frequency"),
        (["## time resolution: nan"], "which states no frequency"),
        (["## time resolution: 0"], "which states no frequency"),
        (["## time resolution:"], "which states no frequency"),
        (["## annotation type definitions"], "without '## end of definitions'"),
        (["## annotation type definitions", "5 V Premature"], "without '## end of definitions'"),
        (["## annotation type definitions", "V Premature"], "which defines no annotation type"),
        (["## annotation type definitions", "50 V Premature"], "which defines no annotation type"),
    ],
)
def test_contradictory_note_about_the_file_is_refused(read, notes, said):
    with pytest.raises(DataError, match=rf"a\.atr has the note .*{said}"):
        read([*about(*notes), word(N, 9), END])


def test_note_about_the_file_is_no_annotation(read):
    for notes in (
        ["## what is this"],  # wfdb 4.3 does not terminate
        ["## time resolution: 360", "## time resolution: 360"],
        ["## time resolution: 360", "## author: me"],
    ):
        assert read([*about(*notes), word(N, 9), END]) == [(9, "N")]


def test_symbols_that_the_file_defines_are_used(read):
    notes = ["## annotation type definitions", "42 PVC premature", "43 x2", "## end of definitions"]
    words = [word(42, 9), word(43, 1), word(44, 1), word(N, 1), END]
    assert read([*about(*notes), *words]) == [(9, "PVC"), (10, "x2"), (11, "[44]"), (12, "N")]


def test_symbols_that_wfdb_defines_in_a_file_are_read(tmp_path):
    definitions = pd.DataFrame(
        {"label_store": [42, 43], "symbol": ["&", "$"], "description": ["first", "second"]}
    )
    wfdb.wrann(
        "a",
        "own",
        np.array([5, 9, 12]),
        ["&", "N", "$"],
        custom_labels=definitions,
        fs=360,
        write_dir=str(tmp_path),
    )
    found = read_annotations(tmp_path / "a.own", 360.0, TINY)
    assert (found.samples.tolist(), found.symbols.tolist()) == ([5, 9, 12], ["&", "N", "$"])


def test_note_that_resembles_one_about_the_file_is_read(read):
    assert read([word(NOTE, 0), *aux("1 V Premature"), word(N, 9), END]) == [(0, '"'), (9, "N")]
    assert read([word(N, 9), *aux("##"), END]) == [(9, "N")]
    assert read([word(N, 9), *aux("## time resolution: 720"), END]) == [(9, "N")]


def test_times_at_another_resolution_are_converted(read):
    words = [*about("## time resolution: 1000"), word(N, 500), word(V, 501), END]
    assert read(words) == [(180, "N"), (360, "V")]
    assert read([*about("## time resolution: 360"), word(N, 9), END]) == [(9, "N")]


def test_note_of_an_annotation_is_returned(tmp_path):
    notes = ["(AFIB", "", "Größe", "x" * 9]
    wfdb.wrann(
        "a", "atr", np.array([5, 9, 12, 20]), list("+N+N"), aux_note=notes, write_dir=str(tmp_path)
    )
    found = read_annotations(tmp_path / "a.atr", 360.0, TINY)
    assert found.symbols.tolist() == list("+N+N")
    assert found.aux_notes.tolist()[:2] == notes[:2]
    assert found.aux_notes.tolist()[3] == notes[3]


def test_file_without_annotations_is_read(read):
    assert read([END]) == []


def test_every_beat_symbol_has_a_code():
    assert set(BEAT_SYMBOLS) < set(SYMBOLS.values())
    assert len(set(SYMBOLS.values())) == len(SYMBOLS) == 39  # 1 to 41 but for 15 and 17
    table = wfdb.io.annotation.ann_label_table
    known = dict(zip(table["label_store"], table["symbol"], strict=True))
    assert all(known[code] == symbol for code, symbol in SYMBOLS.items())


annotations = st.lists(
    st.tuples(
        st.integers(1, 200_000),
        st.sampled_from(sorted(SYMBOLS.values())),
        st.text("(NVT ab\x03\xfb", max_size=9),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=100)
@given(annotations, st.sampled_from([None, 360, 128, 249.5]))
def test_annotations_written_by_wfdb_are_read_back(tmp_path_factory, drawn, fs):
    folder = tmp_path_factory.mktemp("written")
    samples = np.cumsum([step for step, *_ in drawn])
    named = [symbol for _, symbol, *_ in drawn]
    wfdb.wrann(
        "a",
        "atr",
        samples,
        named,
        aux_note=[note for *_, note, _ in drawn],
        chan=np.asarray([at[3] for at in drawn]),
        fs=fs,
        write_dir=str(folder),
    )
    found = read_annotations(folder / "a.atr", 360.0 if fs is None else float(fs), TINY)
    assert found.samples.tolist() == samples.tolist()
    assert found.symbols.tolist() == named


@settings(max_examples=300)
@given(
    st.lists(
        st.one_of(st.integers(0, 0xFFFF), st.builds(word, st.integers(0, 63), st.integers(0, 3))),
        max_size=40,
    )
)
def test_arbitrary_words_are_read_or_refused_in_one_line(read, words):
    refused = None
    try:
        found = read([*words, END])
    except DataError as error:
        refused = str(error)
    if refused is None:
        assert all(isinstance(sample, int) and symbol for sample, symbol in found)
        assert len(found) <= len(words)
    else:
        assert refused.isprintable()
        assert "a.atr" in refused
