"""YAML to `Experiment`: the only module that knows Hydra and OmegaConf.

The composed configuration is the complete truth of a run. It becomes an `Experiment` through `_build.build_node`, where every
value is checked; nothing below this module reads a configuration.
"""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from ecgexp.config.location import config_dir
from ecgexp.config.sweep_settings import SweepSettings
from ecgexp.settings.build import build_node
from ecgexp.settings.declaration import ConfigError, build, unknown_key
from ecgexp.settings.paths import check_folders, counted_from
from ecgexp.settings.redaction import redacted
from ecgexp.settings.registry import settings_class
from ecgexp.settings.renamed import OPTIONS, renamed
from ecgexp.tracking.credentials import without_credentials

if TYPE_CHECKING:
    from ecgexp.experiment.experiment import Experiment

CONFIG_NAME = "config"

# Values that other nodes interpolate, and what steers a multirun: settings of the configuration, not of the experiment.
_SHARED = ("data", "name", "resume", "sweep")


def load_experiment(overrides: Sequence[str] = ()) -> "Experiment":
    """The experiment that `ecgexp OVERRIDES…` would run, for notebooks and tests.

    Raises:
      ConfigError: an override that names no setting, or a value that is refused.
    """
    return build_experiment(load_config(overrides))


def load_config(overrides: Sequence[str] = ()) -> DictConfig:
    """The configuration that `ecgexp OVERRIDES…` would compose.

    Raises:
      ConfigError: an override that names no setting.
    """
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        try:
            config = compose(CONFIG_NAME, overrides=list(overrides), return_hydra_config=True)
        except HydraException as error:
            raise explain(error, overrides) from error
    with open_dict(config):
        del config["hydra"]
    return config


def build_experiment(config: DictConfig, *, base_dir: Path | None = None) -> "Experiment":
    """Checks every value of a composed configuration and builds what it describes.

    Args:
      config: composed.
      base_dir: the folder that the command was typed in, from which relative paths count; folders that the run would write to
        are then looked at. None: paths stay as they are.

    Raises:
      ConfigError: a misspelt key, a value out of bounds, a combination that makes no sense, a `_target_` outside the package.
    """
    # Here, not above: what is misspelt is then answered before the parts of an experiment are loaded.
    from ecgexp.experiment.experiment import Experiment

    try:
        values = plain(config)
    except OmegaConfBaseException as error:
        raise ConfigError(_one_line(error)) from error
    target = values.pop("_target_", None)
    kind = Experiment if target is None else settings_class(target)
    if not issubclass(kind, Experiment):
        raise ConfigError(f"_target_={target}: it is no kind of experiment; leave _target_ out.")
    with counted_from(base_dir):
        children = build_node({key: value for key, value in values.items() if key not in _SHARED})
    experiment = build(kind, children, path="").resolved()
    if base_dir is not None:
        check_folders(experiment)
    return experiment


def sweep_settings(config: DictConfig) -> SweepSettings:
    """What steers a multirun.

    Raises:
      ConfigError: a misspelt key, a value out of bounds.
    """
    return build(SweepSettings, plain(config.sweep), path="sweep")


def plain(config: DictConfig) -> dict[str, Any]:
    """The resolved configuration as nested plain values."""
    return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]


def for_the_record(config: DictConfig) -> dict[str, Any]:
    """The resolved configuration, but for what came from the environment: that may be a secret, so its name stands for it."""
    OmegaConf.register_new_resolver("oc.env", lambda name, *_: f"${{oc.env:{name}}}", replace=True)
    try:
        return plain(config)
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)


def to_yaml(values: dict[str, Any]) -> str:
    """Plain values as YAML, without their secrets."""
    return OmegaConf.to_yaml(OmegaConf.create(redacted(values)))


def notes(config: DictConfig, hydra: DictConfig) -> dict[str, str]:
    """What was typed for a run, and what it was composed to, as texts without secrets, by the names that Hydra has for them.

    A noise seed stays among what was typed, or the run could not be resumed.
    """
    typed = without_credentials(OmegaConf.to_container(hydra.overrides.task))  # type: ignore[arg-type]
    nodes = {"config.yaml": config, "hydra.yaml": OmegaConf.create({"hydra": hydra})}
    texts = {
        name: to_yaml(OmegaConf.to_container(node, resolve=False)) for name, node in nodes.items()
    }  # type: ignore[arg-type]
    return {"overrides.yaml": OmegaConf.to_yaml(OmegaConf.create(typed)), **texts}


def explain(error: Exception, overrides: Sequence[str]) -> ConfigError:
    """Hydra's refusal in one line that says what to type."""
    if (
        isinstance(error, MissingConfigException)
        and error.options is not None
        and error.missing_cfg_file
    ):
        chosen = error.missing_cfg_file.replace("/", "=", 1)
        if (new := OPTIONS.get(chosen)) is not None:
            return ConfigError(renamed(chosen, new))
        group, _, option = error.missing_cfg_file.rpartition("/")
        close = difflib.get_close_matches(option, error.options, n=1)
        hint = (
            f"did you mean {group}={close[0]}?"
            if close
            else f"there are: {', '.join(error.options)}"
        )
        return ConfigError(f"{group}={option} does not exist; {hint}")
    if isinstance(error, ConfigCompositionException) and (
        found := re.search(r"Could not override '([^']+)'", str(error))
    ):
        return ConfigError(unknown_key(found[1], known=_siblings(found[1], overrides)))
    if found := re.search(
        r"Error locating target 'hydra_plugins\.hydra_(joblib|optuna|submitit|ray)", str(error)
    ):
        group = {"submitit": "slurm"}.get(found[1], found[1])
        return ConfigError(
            f"{found[1]} is not installed; type `uv sync --extra {group}`, or `pip install 'ecgexp[{group}]'`"
        )
    if found := re.search(r"Could not (?:override|find match for)[^']*'([^'@]+)", str(error)):
        return ConfigError(unknown_key(found[1], known=_groups()))
    return ConfigError(_one_line(error))


def _siblings(key: str, overrides: Sequence[str]) -> list[str]:
    """The settings beside `key`, in the configuration without the override that was refused."""
    others = [text for text in overrides if not text.lstrip("+~").startswith((f"{key}=", "-"))]
    try:
        node = (
            OmegaConf.select(load_config(others), key.rpartition(".")[0])
            if "." in key
            else load_config(others)
        )
    except (HydraException, ConfigError, OmegaConfBaseException):
        return []
    return [str(name) for name in node] if isinstance(node, DictConfig) else []


def _groups() -> list[str]:
    return [str(name) for name in load_config([])]


def _one_line(error: Exception) -> str:
    return "; ".join(
        line.strip()
        for line in str(error).splitlines()
        if line.strip() and "HYDRA_FULL_ERROR" not in line
    )
