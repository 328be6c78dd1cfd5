"""A setting takes one kind of class: a `_target_` of another kind is refused before it is built."""

import re
from dataclasses import fields

import pytest
import yaml

from ecgexp.config.compose import load_config, load_experiment
from ecgexp.experiment import Experiment
from ecgexp.models.base import ModelBuilder
from ecgexp.settings.build import build_node
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.location import config_dir
from ecgexp.settings.registry import names_of

# Setting -> the kind that it takes and one of the names that fit.
KINDS = {
    "dataset": ("Dataset", "ecgexp.data.SyntheticDataset"),
    "grouping": ("LabelGrouping", "ecgexp.data.LabelGrouping"),
    "split": ("Splitter", "ecgexp.data.InterPatient"),
    "features": ("Features", "ecgexp.features.SignalFeatures"),
    "augmentation": ("Augmentation", "ecgexp.augmentation.Crops9"),
    "model": ("ModelBuilder", "ecgexp.models.Cnn1d"),
    "loss": ("Loss", "ecgexp.training.CrossEntropy"),
    "trainer": ("Trainer", "ecgexp.training.DpSgd"),
    "privacy": ("Privacy", "ecgexp.privacy.PrivacySpec"),
    "partition": ("Partition", "ecgexp.data.ByPatient"),
    "tracking": ("Tracking", "ecgexp.tracking.NoTracking"),
    "selection": ("Selection", "ecgexp.training.Selection"),
    "device": ("Device", "ecgexp.training.Device"),
    "federated_baselines": ("FederatedBaselines", "ecgexp.experiment.FederatedBaselines"),
    "checkpoints": ("CheckpointRule", "ecgexp.training.CheckpointRule"),
    "figures": ("Figures", "ecgexp.experiment.Figures"),
}
_OTHERS = [
    (setting, other) for setting in KINDS for other, (_, name) in KINDS.items() if other != setting
]


def refused(node, setting, target, kind, remedy):
    message = rf"^{re.escape(setting)}\._target_={target}: .*{kind}; use .*{remedy}\b[^\n]*$"
    with pytest.raises(ConfigError, match=message):
        build_node(node, wanted=Experiment)


@pytest.fixture(scope="module")
def composed():
    from ecgexp.config.compose import plain

    names = {field.name for field in fields(Experiment)}
    values = {key: value for key, value in plain(load_config()).items() if key in names}
    return {"_target_": "ecgexp.experiment.Experiment"} | values


def test_every_setting_that_takes_a_class_is_listed(composed):
    assert set(KINDS) == {key for key, value in composed.items() if isinstance(value, dict)}


@pytest.mark.parametrize(("setting", "other"), _OTHERS)
def test_class_of_another_kind_is_refused_with_names_that_fit(composed, setting, other):
    kind, remedy = KINDS[setting]
    target = KINDS[other][1]
    refused(
        composed | {setting: composed[setting] | {"_target_": target}},
        setting,
        target,
        kind,
        remedy,
    )


@pytest.mark.parametrize("setting", KINDS)
def test_names_that_fit_are_those_of_the_options(setting):
    """No option is missing among them, and they are all of one package."""
    kind = Experiment.__pydantic_fields__[setting].annotation
    used = {
        target
        for path in (config_dir() / setting).glob("*.yaml")
        if (target := yaml.safe_load(path.read_text(encoding="utf-8")).get("_target_"))
    }
    assert used <= set(names_of(kind))
    assert KINDS[setting][1] in names_of(kind)
    assert {name.rpartition(".")[0] for name in names_of(kind)} == {
        KINDS[setting][1].rpartition(".")[0]
    }


@pytest.mark.parametrize("value", [{"filters": [8]}, 5, None, ["ecgexp.models.Cnn1d"]])
def test_part_without_a_target_is_refused_with_names_that_fit(composed, value):
    with pytest.raises(
        ConfigError, match=r"^model\._target_ is missing; use model\._target_=ecgexp\.models\.Cnn1d"
    ):
        build_node(composed | {"model": value}, wanted=Experiment)


@pytest.mark.parametrize(
    ("overrides", "setting", "kind", "remedy"),
    [
        (
            ["dataset=mitdb_to_svdb", "dataset.train._target_=ecgexp.data.LabelGrouping"],
            "dataset.train",
            "DatasetPart",
            "ecgexp.data.DatabasePart",
        ),
        (
            [
                "augmentation=replication",
                "augmentation.steps=[{_target_: ecgexp.data.LabelGrouping}]",
            ],
            "augmentation.steps[0]",
            "Augmentation",
            "ecgexp.augmentation.Crops9",
        ),
    ],
)
def test_kinds_are_checked_within_a_part(overrides, setting, kind, remedy):
    message = (
        rf"^{re.escape(setting)}\._target_=ecgexp\.data\.LabelGrouping: .*{kind}; use .*{remedy}"
    )
    with pytest.raises(ConfigError, match=message):
        load_experiment(overrides)


def test_saved_description_of_another_kind_is_refused():
    with pytest.raises(
        ConfigError, match=r"^model\._target_=.*: .*ModelBuilder; use .*models\.Mlp"
    ):
        build_node({"_target_": "ecgexp.data.LabelGrouping"}, "model", ModelBuilder)
