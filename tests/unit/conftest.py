"""Tests that need no TensorFlow; a test that imports it nevertheless fails."""

import sys

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """A module that a test imports stays with its process, so each test answers for its own
    imports.
    """
    before = "tensorflow" in sys.modules
    result = yield
    if not before and "tensorflow" in sys.modules:
        pytest.fail(f"{item.name} imported TensorFlow: move it to tests/tensorflow")
    return result
