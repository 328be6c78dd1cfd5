from types import SimpleNamespace

import numpy as np
import pytest

from ecgexp.data.synthetic.database import write_database


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """Twelve virtual patients of one minute each, without noise: folder, and record -> patient."""
    folder = tmp_path_factory.mktemp("virtual")
    patients = write_database(folder, num_patients=12, minutes=1.0, seed=0, noise=0.0)
    return SimpleNamespace(folder=folder, patients=patients)


@pytest.fixture(scope="session")
def beats_of(database):
    """Read the beats of a record with wfdb: samples, symbols, and the signals in millivolts."""
    import wfdb

    def read(record_id):
        signals = wfdb.rdrecord(str(database.folder / record_id))
        notes = wfdb.rdann(str(database.folder / record_id), "atr")
        symbols = np.asarray(notes.symbol)
        beats = symbols != "+"
        return SimpleNamespace(
            r=notes.sample[beats],
            symbols=symbols[beats],
            signals_mv=signals.p_signal,
            leads=signals.sig_name,
        )

    return read
