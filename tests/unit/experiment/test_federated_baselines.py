"""What a federated model is held against.

What is refused, what is trained, and one run that does it all.
"""

import math

import pytest

from ecgexp.config.compose import load_experiment
from ecgexp.experiment.federated_baselines import (
    FederatedBaselines,
    client_rates,
)
from ecgexp.settings.declaration import ConfigError


@pytest.mark.parametrize(
    "asked",
    [
        "federated_baselines.local_only=true",
        "federated_baselines.pooled=true",
        "federated_baselines.personalize_epochs=2",
    ],
)
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], r"{}: .*partition=none .* use trainer=federated, or {}"),
        (
            ["trainer=federated", "privacy=patient", "privacy.noise_multiplier=1"],
            r"{}: .*private beats.*; use {}, or privacy=none",
        ),
        (
            ["trainer=federated", "evaluate_on=[validation]"],
            r"{}: .*test beats.*; use evaluate_on=.*, or {}",
        ),
        (
            ["trainer=federated", "trainer.client_optimizer=yogi"],
            r"{}: .*client_optimizer=sgd, or adam, or {}",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_with_what_to_type(asked, overrides, message):
    name = asked.partition("=")[0]
    off = f"{name}=0" if "epochs" in name else f"{name}=false"
    with pytest.raises(
        ConfigError, match=message.format(asked.replace(".", r"\."), off.replace(".", r"\."))
    ):
        load_experiment([*overrides, asked])


def test_nothing_is_compared_by_default():
    for experiment in (
        load_experiment([]),
        load_experiment(["trainer=federated", "trainer.client_optimizer=yogi"]),
    ):
        assert experiment.federated_baselines == FederatedBaselines()
        assert not experiment.federated_baselines.selected


def test_a_client_alone_makes_the_passes_of_all_rounds_at_the_rates_of_their_schedule():
    def rates(*overrides):
        base = [
            "trainer=federated",
            "trainer.num_rounds=4",
            "trainer.client_epochs=2",
            "trainer.client_learning_rate=0.4",
        ]
        return client_rates(load_experiment([*base, *overrides]).trainer)

    assert rates() == [0.4] * 8
    # TFF's: rate · (1 + cos(π · round / rounds)) / 2, rounds from 0.
    expected = [0.2 * (1 + math.cos(math.pi * done / 4)) for done in (0, 0, 1, 1, 2, 2, 3, 3)]
    assert rates("trainer.client_schedule=cosine") == pytest.approx(expected)
