import pytest


@pytest.fixture(scope="session")
def make_page():
    """(folder, public=False) -> the page about the runs in the folder, read."""
    from datetime import UTC, datetime

    from page_reader import read

    from ecgexp.analysis.report.gather import choose, gather
    from ecgexp.analysis.report.page import render

    def make(folder, *, public=False):
        gathered = gather(choose(parent=str(folder)))
        return read(render(gathered, made=datetime(2026, 3, 4, 5, 6, tzinfo=UTC), public=public))

    return make


@pytest.fixture
def report(tmp_path, make_page):
    """(public=False) -> the page about the runs in `tmp_path`, read."""
    return lambda *, public=False: make_page(tmp_path, public=public)
