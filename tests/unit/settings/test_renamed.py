"""A name that version 0.2.0 changed is answered with the new one, and the new one exists."""

import pytest

from ecgexp.config.compose import load_experiment
from ecgexp.data.datasets.catalog import find_database
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.location import config_dir
from ecgexp.settings.renamed import KEYS, OPTIONS, renamed_key


@pytest.mark.parametrize("old", KEYS)
def test_old_key_is_answered_with_the_new_one(old):
    with pytest.raises(ConfigError) as caught:
        load_experiment([f"{old}=1"])
    assert str(caught.value) == f"{old} was renamed in version 0.2.0; use {KEYS[old]}"


@pytest.mark.parametrize("old", [old for old in OPTIONS if old.split("=")[0] not in KEYS])
def test_old_option_is_answered_with_the_new_one(old):
    with pytest.raises(ConfigError) as caught:
        load_experiment(["dataset=mitdb", old])
    assert str(caught.value) == f"{old} was renamed in version 0.2.0; use {OPTIONS[old]}"


def test_key_below_a_renamed_group_follows():
    assert renamed_key("comparisons.pooled") == "federated_baselines.pooled"
    assert renamed_key("inputs") is None
    assert renamed_key("privacy.population_size") is None


@pytest.mark.parametrize("new", OPTIONS.values())
def test_new_option_exists(new):
    key, _, option = new.partition("=")
    if key == "dataset.records":
        assert option in find_database("mitdb").record_sets
    else:
        assert (config_dir() / key / f"{option}.yaml").is_file()


@pytest.mark.parametrize("new", KEYS.values())
def test_new_key_exists(new):
    experiment = load_experiment(["privacy=eps3", "trainer=dp"])
    if new == "protocol_errors":
        experiment = load_experiment(["experiment=replication/central"])
    for part in new.split("."):
        experiment = getattr(experiment, part)
