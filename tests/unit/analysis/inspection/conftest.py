"""A folder of tiny records, four of which are damaged or odd."""

import pytest

from tests.support.tiny_records import write_record

SAMPLES, SYMBOLS = (200, 380, 560, 740, 880), ("N", "V", "N", "Q", "A")


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    """Five records, the header of the first one with a planted name."""
    folder = tmp_path_factory.mktemp("sound") / "holter"
    folder.mkdir()
    for seed, name in enumerate("abcde"):
        write_record(folder, name, seed=seed, samples=SAMPLES, symbols=SYMBOLS)
    header = folder / "a.hea"
    header.write_text(f"{header.read_text()}# Patient: Roe, born 1950\n")
    return folder


@pytest.fixture(scope="session")
def odd(tmp_path_factory):
    """Two sound records, a cut one, one without annotations, one of another lead, and a copy."""
    folder = tmp_path_factory.mktemp("odd") / "odd"
    folder.mkdir()
    for seed, name in enumerate(("a", "b", "cut", "bare")):
        write_record(folder, name, seed=seed, samples=SAMPLES, symbols=SYMBOLS)
    write_record(folder, "other", leads=("V5",), seed=7)
    write_record(folder, "copy", seed=1, samples=SAMPLES, symbols=SYMBOLS)
    cut = folder / "cut.dat"
    cut.write_bytes(cut.read_bytes()[:1000])
    (folder / "bare.atr").unlink()
    return folder
