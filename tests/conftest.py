"""What every test may ask for: the real database, where it is."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_root():
    """The data root with the real database; a test that asks for it is also marked `real_data`."""
    root = Path(os.environ.get("ECGEXP_DATA", "nowhere"))
    if not (root / "mitdb").is_dir():
        pytest.skip("needs the MIT-BIH database: set ECGEXP_DATA to the folder that holds mitdb/")
    return root
