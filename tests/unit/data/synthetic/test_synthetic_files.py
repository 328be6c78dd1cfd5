import hashlib

import numpy as np
import pytest

from ecgexp.data.synthetic.database import GENERATOR_VERSION, MIN_MINUTES, write_database
from ecgexp.data.synthetic.signal import FS_HZ
from ecgexp.settings.declaration import ConfigError

# Of the smallest database, seed 0. When it changes, increase GENERATOR_VERSION, which is part of
# the key of cached files.
GOLDEN_VERSION, GOLDEN = 1, "e071ce1f56296eb7e359fcc17fda47ef5a5262be22ba5bd9d2cdd71b9a5be5e9"


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_same_arguments_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write_database(tmp_path / name, num_patients=3, minutes=0.5, seed=7)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_bytes_change_only_with_the_generator_version(tmp_path):
    write_database(tmp_path, num_patients=3, minutes=MIN_MINUTES, seed=0)
    found = hashlib.sha256(b"".join(contents(tmp_path).values())).hexdigest()
    assert (GENERATOR_VERSION, found) == (GOLDEN_VERSION, GOLDEN)


@pytest.mark.parametrize("change", [{"seed": 8}, {"noise": 0.5}])
def test_another_seed_or_noise_gives_other_signals(tmp_path, change):
    arguments = {"num_patients": 3, "minutes": 0.5, "seed": 7, "noise": 1.0}
    write_database(tmp_path / "one", **arguments)
    write_database(tmp_path / "two", **(arguments | change))
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert all(one[name] != two[name] for name in one if name.endswith(".dat"))


def test_more_patients_do_not_change_the_first_ones(tmp_path):
    write_database(tmp_path / "few", num_patients=3, minutes=0.5, seed=0)
    write_database(tmp_path / "many", num_patients=5, minutes=0.5, seed=0)
    few, many = contents(tmp_path / "few"), contents(tmp_path / "many")
    for name in ("s001.dat", "s002.dat", "s003.dat", "s004.dat", "s004.atr", "s004.hea"):
        assert few[name] == many[name]


def test_headers_are_like_mitdb_and_state_synthetic(database):
    import wfdb

    for record_id in database.patients:
        header = wfdb.rdheader(str(database.folder / record_id))
        assert (header.fs, header.sig_len, header.fmt) == (FS_HZ, 60 * FS_HZ, ["212", "212"])
        assert (header.adc_res, header.adc_zero, header.baseline) == (
            [11, 11],
            [1024, 1024],
            [1024, 1024],
        )
        assert (header.adc_gain, header.units) == ([200.0, 200.0], ["mV", "mV"])
        assert header.comments[0].startswith("SYNTHETIC")
        assert database.patients[record_id] in header.comments[1]


def test_checksums_and_first_values_match_the_samples(database):
    import wfdb

    for record_id in database.patients:
        header = wfdb.rdheader(str(database.folder / record_id))
        digital = wfdb.rdrecord(str(database.folder / record_id), physical=False).d_signal
        assert digital.min() >= 0
        assert digital.max() <= 2047
        assert digital[0].tolist() == header.init_value
        assert (digital.sum(axis=0, dtype=np.int64).astype(np.int16)).tolist() == header.checksum


def test_annotations_increase_and_begin_with_the_rhythm(database):
    import wfdb

    for record_id in database.patients:
        notes = wfdb.rdann(str(database.folder / record_id), "atr")
        assert notes.sample[0] == 18
        assert (notes.symbol[0], notes.aux_note[0].rstrip("\0")[:2]) in {("+", "(N"), ("+", "(P")}
        assert np.all(np.diff(notes.sample) > 0)
        assert notes.sample[-1] < 60 * FS_HZ


def test_rhythm_annotations_mark_paced_episodes(database):
    import wfdb

    notes = wfdb.rdann(
        str(database.folder / "s004"), "atr"
    )  # patient 3: sinus rhythm, then paced, then sinus again
    assert [note.rstrip("\0") for note in notes.aux_note if note] == ["(N", "(P", "(N"]
    places = [i for i, symbol in enumerate(notes.symbol) if symbol == "+"]
    paced = [i for i, symbol in enumerate(notes.symbol) if symbol in "/f"]
    assert places[1] < min(paced)
    assert max(paced) < places[2]


def test_one_patient_has_two_records_and_one_record_lacks_mlii(database, beats_of):
    records = list(database.patients)
    assert (database.folder / "RECORDS").read_text().split() == records
    assert database.patients["s001"] == database.patients["s002"]
    assert len(set(database.patients.values())) == 12
    assert [record for record in records if "MLII" not in beats_of(record).leads] == records[-1:]
    assert beats_of(records[-1]).leads == ["V5", "V2"]


@pytest.mark.parametrize("seed", range(5))
def test_three_patients_at_the_shortest_length_have_every_symbol(tmp_path, seed):
    import wfdb

    patients = write_database(tmp_path, num_patients=3, minutes=MIN_MINUTES, seed=seed)
    found = {
        symbol for record in patients for symbol in wfdb.rdann(str(tmp_path / record), "atr").symbol
    }
    assert found == set("NLRVAF/f+")


def test_any_three_consecutive_patients_have_every_symbol(database, beats_of):
    symbols = [set(beats_of(record).symbols) for record in list(database.patients)[1:-1]]
    for first in range(len(symbols) - 2):
        assert set.union(*symbols[first : first + 3]) == set("NLRVAF/f")


def test_record_too_short_for_every_symbol_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match=r"dataset\.minutes=0\.1: .*use dataset\.minutes=0\.4 or more"
    ):
        write_database(tmp_path / "none", num_patients=3, minutes=0.1, seed=0)
    assert not (tmp_path / "none").exists()
