"""Fixtures: tiny records written by wfdb, and the real database if it is installed."""

import pytest


@pytest.fixture
def tiny(tmp_path):
    """A folder with the record `a`."""
    from tiny_records import write_record

    write_record(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def all_beats(real_root, tmp_path_factory):
    """All beats of mitdb; V5 replaces MLII in 102 and 104."""
    from ecgexp.data.datasets.recorded import RecordedDataset

    return RecordedDataset(
        root=real_root, missing_lead="first", cache_dir=tmp_path_factory.mktemp("cache")
    ).load()
