"""Our rounds are those that TFF's own C++ executor computed, and our clipping is TFF's.

See `golden_cases`.
"""

import itertools
import subprocess
from importlib import metadata

import golden_cases
import numpy as np
import pytest
from clients import client_data
from golden_cases import CASES, CLIPPED

TOLERANCE = (
    5e-6  # of weights that move by 1e-2; when the goldens were made the two were within 5e-7
)


@pytest.fixture(scope="module")
def goldens():
    return golden_cases.read()


@pytest.fixture(scope="module")
def data():
    return client_data()


@pytest.fixture
def alone(monkeypatch):
    """No process may be started, and TFF's context is afterwards what it was."""
    import tensorflow_federated as tff

    def refuse(*arguments, **_):
        raise AssertionError(f"a process is started: {arguments}")

    before = tff.framework.get_context_stack().current
    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)  # TFF would start its executor so
    yield
    assert tff.framework.get_context_stack().current is before


@pytest.mark.slow
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("case", CASES)
def test_a_round_is_the_one_that_tffs_executor_computed(case, goldens, data):
    weights, start, facts = goldens
    taken = golden_cases.train_case(data, CASES[case], start)
    for epoch_result, expected, metrics in zip(
        taken, weights[case], facts["cases"][case]["metrics"], strict=True
    ):
        np.testing.assert_allclose(
            golden_cases.flat(epoch_result.weights()), expected, atol=TOLERANCE, rtol=0
        )
        assert epoch_result.train_metrics == pytest.approx(metrics, rel=1e-5, abs=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("case", CLIPPED)
def test_our_clip_without_noise_is_tffs_own(case, goldens, data):
    weights, start, _ = goldens
    for epoch_result, expected in zip(
        golden_cases.train_case(data, CLIPPED[case], start), weights[case], strict=True
    ):
        np.testing.assert_allclose(
            golden_cases.flat(epoch_result.weights()), expected, atol=TOLERANCE, rtol=0
        )


def test_goldens_are_of_the_present_cases_and_packages(goldens):
    weights, _, facts = goldens
    again = "run scripts/make_tff_goldens.py"
    assert {name: case["settings"] for name, case in facts["cases"].items()} == CASES | CLIPPED, (
        again
    )
    assert set(weights) == set(CASES | CLIPPED), again
    for package in ("tensorflow-federated", "tensorflow"):
        assert facts["made_with"][package] == metadata.version(package), again


def test_goldens_tell_every_two_cases_apart(goldens):
    """Otherwise a case could pass although its setting does nothing."""
    weights, start, _ = goldens
    ends = {
        "start": golden_cases.flat(start),
        **{name: rounds[-1] for name, rounds in weights.items()},
    }
    for (one, first), (other, second) in itertools.combinations(ends.items(), 2):
        assert np.abs(first - second).max() > 100 * TOLERANCE, (one, other)


def test_goldens_clip_where_they_should(goldens):
    _, _, facts = goldens
    for case in ("robust", "secure"):
        assert any(
            metrics["aggregator/clipped_count"] for metrics in facts["cases"][case]["metrics"]
        ), case
