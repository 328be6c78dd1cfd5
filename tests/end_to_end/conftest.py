"""Whole runs; figures are drawn only inside `drawn_figures`."""

import matplotlib.figure
import placeholder_figures
import pytest


@pytest.fixture(scope="module", autouse=True)
def _placeholders():
    before = matplotlib.figure.Figure.savefig
    placeholder_figures.install()
    yield
    matplotlib.figure.Figure.savefig = before
