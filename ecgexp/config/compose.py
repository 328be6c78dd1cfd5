"""Composition of the YAML groups into a configuration, and of a configuration into an `Experiment`.

The composed configuration specifies a run completely. `settings.build.build_node` checks every
value of it; the packages above this one in the order do not read the configuration.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from ecgexp.config.command_settings import CommandSettings, ConsoleSettings
from ecgexp.config.explanation import explanation, one_line
from ecgexp.config.location import config_dir
from ecgexp.config.sweep_settings import SweepSettings
from ecgexp.config.untrusted_overrides import container, not_an_option
from ecgexp.settings.build import build_node
from ecgexp.settings.declaration import ConfigError, build
from ecgexp.settings.paths import check_folders, counted_from
from ecgexp.settings.redaction import redacted
from ecgexp.settings.registry import public_name
from ecgexp.tracking.credentials import without_credentials

if TYPE_CHECKING:
    from hydra.conf import HydraConf

    from ecgexp.experiment.experiment import Experiment

CONFIG_NAME = "config"

# Keys of the configuration that are not fields of an experiment: other nodes interpolate them, or
# they control a resumed run or a multirun.
_SHARED = ("console", "data", "max_minutes", "name", "resume", "sweep")


def load_experiment(overrides: Sequence[str] = ()) -> "Experiment":
    """Build the experiment that `ecgexp OVERRIDES…` runs, for notebooks and tests.

    Args:
      overrides: Hydra overrides, e.g. `["model=resnet1d", "seed=1"]`.

    Returns:
      The experiment, with all settings checked.

    Raises:
      ConfigError: an override has an unknown key or an invalid value.

    Example:
      >>> experiment = load_experiment(["model=resnet1d", "trainer.epochs=5"])
      >>> experiment.trainer.epochs, experiment.model.kernel_size
      (5, 7)
    """
    return build_experiment(load_config(overrides))


def load_config(overrides: Sequence[str] = ()) -> DictConfig:
    """Compose the configuration of `ecgexp OVERRIDES…`, without checking values.

    Args:
      overrides: Hydra overrides.

    Returns:
      The configuration without the node `hydra`.

    Raises:
      ConfigError: an override has an unknown key or option.

    Example:
      >>> load_config(["trainer=dp", "privacy.noise_multiplier=2"]).privacy.noise_multiplier
      2
    """
    config = _load_whole(overrides)
    with open_dict(config):
        del config["hydra"]
    return config


def _load_whole(overrides: Sequence[str]) -> DictConfig:
    """Compose the configuration of `ecgexp OVERRIDES…`, with the node `hydra`."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        try:
            with not_an_option():
                return compose(CONFIG_NAME, overrides=list(overrides), return_hydra_config=True)
        except HydraException as error:
            raise explain(error, overrides) from error


def build_experiment(config: DictConfig, *, base_dir: Path | None = None) -> "Experiment":
    """Check every value of a configuration and build its experiment.

    Args:
      config: composed configuration.
      base_dir: folder to which relative paths refer. If given, the folders that the run would write
        to are checked. None: paths stay as they are.

    Returns:
      The experiment, with defaults resolved.

    Raises:
      ConfigError: a key is unknown, a value is out of bounds, settings contradict each other, or a
        `_target_` is outside the package.

    Example:
      >>> build_experiment(load_config(["seed=7"])).seed
      7
    """
    # Imported here, so that a misspelled key is reported before the parts of an experiment are
    # loaded.
    from ecgexp.experiment.experiment import Experiment

    try:
        values = plain(config)
    except OmegaConfBaseException as error:
        raise ConfigError(one_line(error)) from error
    node = {"_target_": public_name(Experiment)} | {
        key: value for key, value in values.items() if key not in _SHARED
    }
    with counted_from(base_dir):
        experiment = build_node(node, wanted=Experiment).resolved()
    if base_dir is not None:
        check_folders(experiment)
    return experiment


def sweep_settings(config: DictConfig) -> SweepSettings:
    """Build the settings of a multirun.

    Args:
      config: composed configuration.

    Returns:
      The settings under `sweep.`.

    Raises:
      ConfigError: a key is unknown or a value is out of bounds.
    """
    return build(SweepSettings, plain(config.sweep), path="sweep")


def command_settings(config: DictConfig) -> CommandSettings:
    """Build the settings of a command that no result depends on.

    Args:
      config: composed configuration.

    Returns:
      The settings `console.` and `max_minutes`.

    Raises:
      ConfigError: a key is unknown or a value is out of bounds.
    """
    values = plain(config)
    console = build(ConsoleSettings, values["console"], path="console")
    return build(
        CommandSettings, {"console": console, "max_minutes": values["max_minutes"]}, path=""
    )


def plain(config: DictConfig) -> dict[str, Any]:
    """Return the resolved configuration as nested dicts and lists.

    Args:
      config: composed configuration.
    """
    return container(config, resolve=True)


def for_the_record(config: DictConfig) -> dict[str, Any]:
    """Resolve the configuration, except values from environment variables, which may be secret.

    Args:
      config: composed configuration.

    Returns:
      Nested dicts and lists; a value from the environment is its reference `${oc.env:NAME}`.
    """
    OmegaConf.register_new_resolver("oc.env", lambda name, *_: f"${{oc.env:{name}}}", replace=True)
    try:
        return plain(config)
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)


def to_yaml(values: dict[str, Any]) -> str:
    """Format values as YAML, with secrets redacted.

    Args:
      values: nested dicts and lists.
    """
    return OmegaConf.to_yaml(OmegaConf.create(redacted(values)))


def notes(config: DictConfig, hydra: "HydraConf") -> dict[str, str]:
    """Return the files that Hydra writes to `.hydra`, with secrets redacted.

    The noise seed stays in `overrides.yaml`, because a simulation cannot be resumed without it.

    Args:
      config: composed configuration.
      hydra: node `hydra` of the configuration.

    Returns:
      File name -> content, for `overrides.yaml`, `config.yaml` and `hydra.yaml`.
    """
    typed = without_credentials(cast(list[str], OmegaConf.to_container(hydra.overrides.task)))
    nodes = {"config.yaml": config, "hydra.yaml": OmegaConf.create({"hydra": hydra})}
    texts = {name: to_yaml(container(node, resolve=False)) for name, node in nodes.items()}
    return {"overrides.yaml": OmegaConf.to_yaml(OmegaConf.create(typed)), **texts}


def chosen_options(hydra: "HydraConf") -> dict[str, str]:
    """Return the options that were chosen for the model and the trainer, as tags of the run.

    Unlike the classes, which `Experiment.options` knows, they tell `cnn1d_small` from `cnn1d`.

    Args:
      hydra: node `hydra` of the configuration.
    """
    choices = hydra.runtime.choices
    return {name: str(choices[name]) for name in ("model", "trainer") if choices.get(name)}


def explain(error: Exception, overrides: Sequence[str]) -> ConfigError:
    """Convert an error of Hydra to one line with a remedy.

    Args:
      error: error of Hydra.
      overrides: overrides that were composed.
    """
    return explanation(error, overrides, compose=_load_whole)
