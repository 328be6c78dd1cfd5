"""One contract for all runtimes: the same rounds, whoever runs them."""

import numpy as np
import pytest
from clients import deal, patient, train

pytestmark = [pytest.mark.tf, pytest.mark.slow]


@pytest.fixture(scope="module")
def data():
    return deal()


CASES = {
    "fedavg": {"client_epochs": 2, "server_momentum": 0.5},
    "fedprox, cohorts": {"algorithm": "fedprox", "proximal_strength": 1.0, "sampling": "fixed", "clients_per_round": 2},
    "mime_lite": {"algorithm": "mime_lite", "client_momentum": 0.9},
    "secure": {"aggregator": "secure"},
    "compressed": {"aggregator": "compressed"},
    "an adapting clip and noise": {
        "clipping": "adaptive", "clipped_count_stddev": 1.0, "privacy": patient(0.3, l2_norm_clip=0.05, noise_seed=3),
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_both_runtimes_take_the_same_rounds(case, data):
    ours, theirs = (train(data, num_rounds=2, runtime=name, **CASES[case])[0] for name in ("inprocess", "local"))
    for one, other in zip(ours, theirs, strict=True):
        for value, wanted in zip(one.weights(), other.weights(), strict=True):
            np.testing.assert_allclose(value, wanted, atol=1e-5)
        assert one.train_metrics == pytest.approx(other.train_metrics, rel=1e-4)


def test_a_local_run_goes_on_from_an_inprocess_checkpoint(data):
    whole = train(data, num_rounds=2)[0]
    rest = train(data, num_rounds=2, runtime="local", resume_from=whole[0].checkpoint())[0]
    for value, wanted in zip(rest[-1].weights(), whole[-1].weights(), strict=True):
        np.testing.assert_allclose(value, wanted, atol=1e-5)


def test_what_the_form_cannot_express_runs_in_the_worker(data, monkeypatch):
    from ecgexp.training.federated import inprocess

    def refuse(*_, **__):
        raise inprocess.NotExpressible("an aggregation it does not know")

    monkeypatch.setattr(inprocess.InProcess, "__init__", refuse)
    with pytest.warns(UserWarning, match="runtime=local takes over: an aggregation it does not know"):
        taken = train(data)[0]
    assert taken[0].train_metrics["clients/used"] == 4


def test_threads_do_not_share_a_clients_variables(data):
    """Eight copies of the client's graph at the same time give what one gives."""
    from ecgexp.training.federated.inprocess import InProcess

    one = train(data, client_epochs=3)[0]
    made = InProcess.__init__
    try:
        InProcess.__init__ = lambda self, process: made(self, process, num_threads=8)
        many = train(data, client_epochs=3)[0]
    finally:
        InProcess.__init__ = made
    for value, wanted in zip(many[0].weights(), one[0].weights(), strict=True):
        np.testing.assert_array_equal(value, wanted)


def test_tffs_default_context_is_gone_before_the_interpreter():
    import subprocess
    import sys

    code = (
        "import atexit, tensorflow_federated as tff, ecgexp.training.federated.runtime\n"
        "atexit._run_exitfuncs()\n"
        "print(type(tff.framework.get_context_stack().current).__module__)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert ended.stdout.split()[-1] == "ecgexp.training.federated.runtime"
    assert "Exception ignored" not in ended.stderr
