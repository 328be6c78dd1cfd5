"""The noise sweep of the replicated implementation: its ε, with the n and sampler that ran."""

import numpy as np
import pytest

from ecgexp.config.compose import load_experiment
from ecgexp.privacy import accounting
from ecgexp.seeding import Seeds

pytestmark = pytest.mark.real_data

# noise -> ε at δ 4e-6, 20 epochs of Poisson batches of 100 from 52 367 beats: RDP, PLD; recomputed
# with dp_accounting.
EPSILONS = {
    0.8: (2.19, 1.72),
    1.0: (1.29, 1.05),
    1.4: (0.68, 0.61),
    2.0: (0.42, 0.39),
    2.4: (0.34, 0.31),
}


@pytest.fixture(scope="module")
def data(real_root, tmp_path_factory):
    settings = load_experiment(
        [
            "experiment=replication/dp_corrected",
            f"data.root={real_root}",
            f"data.cache_dir={tmp_path_factory.mktemp('cache')}",
        ]
    )
    return settings.load_run_data(Seeds(0), lambda *_, **__: None).data


@pytest.mark.filterwarnings("ignore:privacy.delta=4e-06 times 52367 units")
@pytest.mark.parametrize("noise", EPSILONS)
def test_sweep_has_the_recomputed_epsilon(data, noise):
    settings = load_experiment(
        ["experiment=replication/dp_corrected", f"privacy.noise_multiplier={noise}"]
    )
    plan = settings.trainer.plan(settings.privacy, data)
    assert (plan.num_units, plan.expected_batch_size, plan.iterations) == (52_367, 100, 10_480)
    epsilons = [accounting.epsilon(plan.dp_event, plan.delta, name) for name in ("rdp", "pld")]
    np.testing.assert_allclose(
        epsilons, EPSILONS[noise], atol=0.006
    )  # tabled to two decimals, by another version
