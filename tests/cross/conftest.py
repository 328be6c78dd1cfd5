import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `two_folders`; tests are not a package


@pytest.fixture(scope="session")
def data_root(tmp_path_factory):
    """A data root with six records of mitdb at 360 Hz and the same six hearts as svdb at 128 Hz."""
    from two_folders import HEARTS, MITDB_NAMES, SVDB_NAMES, draw_heartbeats, write_record

    root = tmp_path_factory.mktemp("data")
    for patient, mitdb, svdb in zip(HEARTS, MITDB_NAMES, SVDB_NAMES, strict=True):
        drawn = draw_heartbeats(patient)
        write_record(root / "mitdb", mitdb, drawn, fs_hz=360)
        write_record(root / "svdb", svdb, drawn, fs_hz=128, gain=0 if patient % 2 else 200)
    return root
