"""Composition of the YAML groups into a configuration, and of a configuration into an `Experiment`.

The composed configuration specifies a run completely. `settings.build.build_node` checks every
value of it; the packages above this one in the order do not read the configuration.
"""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra import compose, version
from hydra._internal import hydra as hydra_internals
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.initialize import get_gh_backup, restore_gh_from_backup
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from ecgexp.config.command_settings import CommandSettings, ConsoleSettings
from ecgexp.config.explanation import explanation, one_line
from ecgexp.config.location import own_folder
from ecgexp.config.sweep_settings import SweepSettings
from ecgexp.config.untrusted_overrides import container, not_an_option
from ecgexp.settings.build import build_node
from ecgexp.settings.declaration import ConfigError, build
from ecgexp.settings.location import config_dir
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


def load_experiment(
    overrides: Sequence[str] = (), *, own: str | Path | None = None
) -> "Experiment":
    """Build the experiment that `ecgexp OVERRIDES…` runs, for notebooks and tests.

    Args:
      overrides: Hydra overrides, e.g. `["model=resnet1d", "seed=1"]`.
      own: your own folder of YAML files, as for `--config-dir`.

    Returns:
      The experiment, with all settings checked.

    Raises:
      ConfigError: an override has an unknown key or an invalid value.

    Example:
      >>> experiment = load_experiment(["model=resnet1d", "trainer.epochs=5"])
      >>> experiment.trainer.epochs, experiment.model.kernel_size
      (5, 7)
    """
    return build_experiment(load_config(overrides, own=own))


def load_config(overrides: Sequence[str] = (), *, own: str | Path | None = None) -> DictConfig:
    """Compose the configuration of `ecgexp OVERRIDES…`, without checking values.

    Args:
      overrides: Hydra overrides.
      own: your own folder of YAML files, as for `--config-dir`.

    Returns:
      The configuration without the node `hydra`.

    Raises:
      ConfigError: an override has an unknown key or option, or there is no such folder.

    Example:
      >>> load_config(["trainer=dp", "privacy.noise_multiplier=2"]).privacy.noise_multiplier
      2
    """
    return split_off_hydra(load_whole(overrides, own=own))[0]


def load_whole(overrides: Sequence[str] = (), *, own: str | Path | None = None) -> DictConfig:
    """Compose the configuration of `ecgexp OVERRIDES…`, with the node `hydra`.

    Args:
      overrides: Hydra overrides.
      own: your own folder of YAML files, as for `--config-dir`.

    Raises:
      ConfigError: an override has an unknown key or option, or there is no such folder.
    """
    folder = None if own is None else own_folder(own)
    with _own_hydra(folder):
        try:
            with not_an_option():
                return compose(CONFIG_NAME, overrides=list(overrides), return_hydra_config=True)
        except HydraException as error:
            raise explain(error, overrides, own=own) from error


def split_off_hydra(whole: DictConfig) -> "tuple[DictConfig, HydraConf]":
    """Return a composed configuration without the node `hydra`, and that node.

    Args:
      whole: as `load_whole` returns it; it is changed.
    """
    hydra = whole.hydra
    with open_dict(whole):
        del whole["hydra"]
    return whole, hydra


@contextlib.contextmanager
def _own_hydra(own: Path | None) -> Iterator[None]:
    """Make Hydra look for YAML files where the command does, and restore its state afterwards."""
    before = get_gh_backup()
    GlobalHydra.instance().clear()
    version.setbase("1.3")
    place = create_config_search_path(str(config_dir()))
    if own is not None:  # where Hydra puts it
        place.prepend("command-line", f"file://{own}", anchor=SearchPathQuery("schema"))
    try:
        hydra_internals.Hydra.create_main_hydra2("ecgexp", place)
        yield
    finally:
        restore_gh_from_backup(before)


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


def own_folder_of(hydra: "HydraConf") -> Path | None:
    """Return the folder that `--config-dir` named for this run; None without one.

    Args:
      hydra: node `hydra` of the configuration.
    """
    sources = hydra.runtime.config_sources
    return next((Path(one.path) for one in sources if one.provider == "command-line"), None)


def explain(
    error: Exception, overrides: Sequence[str], *, own: str | Path | None = None
) -> ConfigError:
    """Convert an error of Hydra to one line with a remedy.

    Args:
      error: error of Hydra.
      overrides: overrides that were composed.
      own: folder that `--config-dir` names.
    """
    return explanation(error, overrides, compose=functools.partial(load_whole, own=own))
