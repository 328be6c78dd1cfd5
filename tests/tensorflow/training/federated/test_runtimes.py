"""The runtime that calls TFF's functions in this process.

Threads share no state, and nothing is printed at the end.
"""

import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
from clients import client_data, train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data():
    return client_data()


def test_threads_do_not_share_a_clients_variables(data):
    """Eight copies of the client's graph at the same time give what one gives."""
    from ecgexp.training.federated.runtimes.in_process import InProcess

    one = train(data, client_epochs=3)[0]
    made = InProcess.__init__
    try:
        InProcess.__init__ = lambda self, process: made(self, process, num_threads=8)
        many = train(data, client_epochs=3)[0]
    finally:
        InProcess.__init__ = made
    for value, wanted in zip(many[0].weights(), one[0].weights(), strict=True):
        np.testing.assert_array_equal(value, wanted)


def test_weights_that_do_not_fit_the_state_are_refused():
    import tensorflow_federated as tff

    from ecgexp.training.federated.runtimes.base import put_in_weights, weights_of

    class State(NamedTuple):
        global_model_weights: tff.learning.models.ModelWeights

    kernel, bias = np.ones((2, 1), np.float32), np.zeros(1, np.float32)
    state = State(tff.learning.models.ModelWeights([kernel, bias], []))
    assert weights_of(put_in_weights(state, [2 * kernel, bias]))[0].tolist() == [[2], [2]]
    with pytest.raises(
        ValueError, match="1 arrays do not fit a model of 2 trainable and 0 other arrays"
    ):
        put_in_weights(state, [kernel])
    with pytest.raises(
        ValueError, match=r"array 0 has the shape \(3, 1\); the model's has \(2, 1\)"
    ):
        put_in_weights(state, [np.ones((3, 1), np.float32), bias])


def test_tffs_default_context_is_gone_before_the_interpreter():
    code = (
        "import atexit, tensorflow_federated as tff, ecgexp.training.federated.runtimes.base\n"
        "atexit._run_exitfuncs()\n"
        "print(type(tff.framework.get_context_stack().current).__module__)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert ended.stdout.split()[-1] == "ecgexp.training.federated.runtimes.base"
    assert "Exception ignored" not in ended.stderr
