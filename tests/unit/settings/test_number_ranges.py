"""Every numeric setting has a range, and values beyond it are refused before anything is read."""

import math
import warnings

import pytest
from omegaconf import OmegaConf

from ecgexp.config.compose import (
    build_experiment,
    command_settings,
    load_config,
    sweep_settings,
)
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.location import config_dir

# Together these have every option of `conf` that has a number.
CONFIGURATIONS = {
    "default": [],
    "dp": ["trainer=dp", "privacy.noise_multiplier=1"],
    "federated": ["trainer=federated", "privacy=patient", "privacy.target_epsilon=8"],
    "mitdb": [
        "dataset=mitdb",
        "split=patient_kfold",
        "loss=focal",
        "model=resnet1d",
        "augmentation=signal",
    ],
    "classical": ["model=extra_trees", "dataset.window_ms=[360,560]"],
    "two databases": ["dataset=mitdb_to_svdb", "split=cross_database"],
    "mitdb_csv": [
        "dataset=mitdb_csv",
        "split=intra_patient",
        "features=signal_rr",
        "model=cnn1d_small",
    ],
    "folder": ["dataset=folder"],
    "csv": ["dataset=csv"],
    "incartdb": ["dataset=incartdb", "split=inter_patient_two_lead"],
    "svdb": [
        "dataset=svdb",
        "split=within_record",
        "model=mlp",
        "features=handcrafted",
        "loss=distillation",
    ],
    "image": ["model=cnn2d", "features=image", "augmentation=image"],
    "replication": ["model=cnn2d", "features=image", "augmentation=replication"],
    "arrays": ["dataset=arrays", "dataset.path=beats.csv", "split=as_given"],
    "crops9": ["model=cnn2d", "features=image", "augmentation=crops9"],
    **{
        name: ["trainer=federated", f"partition={name}"]
        for name in ("iid", "dirichlet", "shards", "quantity_skew")
    },
}
STRANGE = (-1, 0, math.nan, math.inf, -math.inf, 1e308, 10**20, 1e-320, "", True, "x")
SENSIBLE = {
    "limits_mv": [-1, 0],
    "learning_rate": [10**20],
    "client_learning_rate": [10**20],
    "server_learning_rate": [10**20],
}
OF_FILES = (
    *("path", "name", "records", "patients", "patient_pattern", "patient_comment"),
    *("signals", "labels", "units", "time_column", "pseudonyms"),
)
NO_NUMBERS = (
    "resume",
    "dataset.test.records",
    *(f"dataset.{name}" for name in OF_FILES),
    "loss.teacher",
)  # null stands for a name


def is_number(value):
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def numbers(node, prefix=""):
    """Return (dotted name, value) of each numeric setting, optional ones and lists included."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, dict) or (
            isinstance(value, list) and value and isinstance(value[0], dict)
        ):
            yield from numbers(value, name)
        elif is_number(value) or (isinstance(value, list) and value and all(map(is_number, value))):
            yield name, value


def refusal(config, name, value, before):
    """What is said of the configuration with that value, which is then taken back."""
    OmegaConf.update(config, name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            build_experiment(config)
            sweep_settings(config)
            command_settings(config)
        except ConfigError as error:
            return str(error)
        finally:
            OmegaConf.update(config, name, before)
    return None


@pytest.mark.parametrize("chosen", CONFIGURATIONS)
def test_unusual_number_is_accepted_or_refused_in_one_line(chosen):
    config = load_config(CONFIGURATIONS[chosen])
    OmegaConf.set_struct(config, False)
    groups = {word.partition("=")[0] for word in CONFIGURATIONS[chosen]}
    found = {
        name: value
        for name, value in numbers(OmegaConf.to_container(config, resolve=False))
        if name not in NO_NUMBERS and (not groups or name.partition(".")[0] in groups)
    }
    assert found
    whole = OmegaConf.to_container(config, resolve=False)
    for name, value in found.items():
        for strange in STRANGE:
            typed = [strange, *value[1:]] if isinstance(value, list) else strange
            why = refusal(config, name, typed, value)
            if why is None:
                assert strange in SENSIBLE.get(name.rpartition(".")[2], [0]), (
                    f"{name}={typed} is accepted"
                )
                continue
            assert "\n" not in why
            assert len(why) < 500
            assert name.rpartition(".")[2] in why, f"{name}={typed}: {why}"
    assert OmegaConf.to_container(config, resolve=False) == whole


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("dataset.fs_hz=1e308", "dataset.fs_hz=360"),
        ("dataset.fs_hz=359.9999", "dataset.fs_hz=360"),
        ("dataset.fs_hz=10000 dataset.window_ms=[10000,10000]", "dataset.window_ms=[250,250]"),
        ("trainer.epochs=99999999999999999999", "trainer.epochs=20"),
        ("model.filters=[]", "model.filters=[32,64,96,128]"),
        (f"model.filters=[{','.join(['4'] * 1000)}]", "model.filters=[32,64,96,128]"),
        ("seed=true", "seed"),
        ("trainer=dp privacy.noise_multiplier=1 privacy.delta=1e-300", "privacy.delta=1e-12"),
        ("device.cpu_devices=0", "device.cpu_devices=1"),
    ],
)
def test_number_beyond_its_range_is_refused_with_a_remedy(words, remedy):
    with pytest.raises(ConfigError) as refused:
        build_experiment(load_config(words.split()))
    setting = words.split()[-1].partition("=")[0]
    assert f"{setting}=" in str(refused.value)
    assert remedy in str(refused.value)
    assert len(str(refused.value)) < 500


def test_shipped_configurations_cover_every_option():
    folder = config_dir()
    with_numbers = {
        f"{path.parent.name}={path.stem}"
        for path in folder.glob("*/*.yaml")
        if path.parent.name
        not in ("experiment", "hydra", "device", "tracking", "grouping", "database")
        and not path.parent.name.startswith("debug")  # presets of the numbers of other groups
        and any(numbers(OmegaConf.to_container(OmegaConf.load(path), resolve=False)))
    }
    composed = {word for words in CONFIGURATIONS.values() for word in words}
    defaults = {
        "dataset=synthetic",
        "preprocessing=median",
        "split=inter_patient",
        "model=cnn1d",
        "loss=cross_entropy",
        "trainer=centralized",
    }
    same_as_others = {
        "dataset=mitdb_to_incartdb",
        "dataset=mitdb_to_folder",
        "dataset=folder_to_folder",
        *(f"dataset={name}" for name in ("ltafdb", "edb", "nstdb", "qtdb", "ltdb", "afdb")),
        "privacy=dp",
        "privacy=eps1",
        "privacy=eps3",
        "privacy=eps8",
        "loss=balanced",
    }
    assert with_numbers <= composed | defaults | same_as_others
