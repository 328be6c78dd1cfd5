"""Who may tell Hydra what to do, checked before Hydra does any of it.

Hydra makes callbacks, launchers, sweepers and loggers from the node `hydra` of the configuration, and calls for that whatever
can be imported and is not on its block-list; its authors call that list no complete boundary. So an experiment file that
somebody sent could start programs and write anywhere, although its own `_target_`s are refused (see `_build`). Looking for
what is harmful in such a node has no end. Here it counts whose it is: our own files and those of Hydra and its plugins may
set it, and so may who types in a shell of their own; no other file may.
"""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from hydra._internal import hydra as hydra_internals
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, ListConfig, OmegaConf, read_write

from ecgexp.config.location import config_dir
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.paths import check_inside
from ecgexp.settings.redaction import HIDDEN, is_secret_name, redacted
from ecgexp.tracking.credentials import hide, without_credentials

OURS = frozenset(
    {
        "config", "hydra/job_logging/plain", "hydra/launcher/processes", "hydra/launcher/ray_jobs", "hydra/launcher/slurm",
        "hydra/launcher/slurm_here", "hydra/sweeper/pareto", "hydra/sweeper/search",
    }
)  # fmt: skip
"""The files of `conf` that set something of Hydra's."""

_OUR_PLACE = f"file://{config_dir()}"
_PLACES_OF_CODE = ("structured://", "pkg://hydra.conf", "pkg://hydra_plugins.")
_HERE = ("BasicLauncher", "JoblibLauncher")
_LAUNCHER = ("hydra/launcher", "hydra.launcher")
_LONGEST_NAME = 200


class GuardedLoader(ConfigLoaderImpl):
    """Composes every configuration of a run. It is pickled to a sweep's jobs, and so guards them in whatever process."""

    _typed: frozenset[str] = frozenset()

    def load_configuration(
        self, config_name: str | None, overrides: list[str], *args: Any, **kwargs: Any
    ) -> DictConfig:
        """As Hydra's.

        Raises:
          ConfigError: a file sets what only a shell may.
        """
        overrides = without_credentials(overrides)
        self._typed = _options(overrides)
        config = super().load_configuration(config_name, overrides, *args, **kwargs)
        _hide_secrets(config)
        _check_name(config)
        _check_notes(config)
        _check_places(config)
        starts_elsewhere = not str(OmegaConf.select(config, "hydra.launcher._target_")).endswith(
            _HERE
        )
        if starts_elsewhere and not any(
            text.lstrip("+").startswith(_LAUNCHER) for text in overrides
        ):
            raise ConfigError(
                "hydra/launcher is refused: a file has jobs start elsewhere; type hydra/launcher=… in the shell"
            )
        return config

    def _process_config_searchpath(
        self, config_name: str | None, parsed_overrides: Any, repo: Any
    ) -> None:
        """Before the first file is composed: Hydra imports the packages that it names as places of others."""
        primary = repo.load_config(config_path=config_name) if config_name is not None else None
        if primary is not None:
            self._check(config_name, primary)
        super()._process_config_searchpath(config_name, parsed_overrides, repo)

    def _load_single_config(self, default: ResultDefault, repo: Any) -> ConfigResult:
        """One file, with all that its package puts round it."""
        loaded = super()._load_single_config(default=default, repo=repo)
        self._check(str(default.config_path), loaded)
        return loaded

    def _check(self, config_path: str, loaded: ConfigResult) -> None:
        # `in` would not find a node that is an interpolation
        if not isinstance(loaded.config, DictConfig) or "hydra" not in loaded.config.keys():  # noqa: SIM118
            return
        place = str(loaded.path)
        if (
            place.startswith(_PLACES_OF_CODE)
            or (place == _OUR_PLACE and config_path in OURS)
            or config_path in self._typed
        ):
            return
        raise ConfigError(
            f"{config_path}.yaml in {place} is refused: it has settings of Hydra's, which decide what is run and where it is "
            "written; remove its node hydra, and type hydra.…=… in the shell"
        )


def _options(overrides: Sequence[str]) -> frozenset[str]:
    """The files of Hydra's groups that were typed: `hydra/launcher=mine` is `hydra/launcher/mine`."""
    typed = [text.lstrip("+").partition("=") for text in overrides]
    return frozenset(
        f"{group}/{option}" for group, _, option in typed if group.startswith("hydra/")
    )


def _check_name(config: DictConfig) -> None:
    """The experiment's name becomes a folder's, below `outputs`."""
    name = OmegaConf.to_container(OmegaConf.masked_copy(config, ["name"]), resolve=False).get(
        "name", ""
    )
    text = str(name)
    is_too_long = len(text.encode(errors="replace")) > _LONGEST_NAME
    if (
        ".." in PurePath(text).parts
        or "${" in text
        or not text.strip()
        or not text.isprintable()
        or is_too_long
    ):
        raise ConfigError(
            f"name={text[:_LONGEST_NAME]!r} is refused: it becomes a folder's name; try name=ecgexp"
        )


def _check_notes(config: DictConfig) -> None:
    """Hydra would write its notes into a folder that nobody has looked at."""
    subdir = OmegaConf.select(config, "hydra.output_subdir")
    if subdir is not None:
        raise ConfigError(
            f"hydra.output_subdir={subdir}: the notes are written to .hydra in the run's folder; leave hydra.output_subdir out"
        )


def _check_places(config: DictConfig) -> None:
    """What Hydra puts below the folder of a run or of a sweep stays there."""
    hydra = OmegaConf.to_container(
        OmegaConf.masked_copy(config.hydra, ["job", "sweep"]), resolve=False
    )
    name, subdir = str(hydra["job"].get("name")), str(hydra["sweep"].get("subdir"))
    for setting, text in (("hydra.job.name", name), ("hydra.sweep.subdir", subdir)):
        check_inside(setting, text.replace("${", "$"))
    if "/" in name:
        raise ConfigError(
            f"hydra.job.name={name}: it becomes a file's name; use hydra.job.name=ecgexp"
        )


def _hide_secrets(config: DictConfig) -> None:
    """Takes the secrets out that stand in files: those of addresses are remembered, others are no part of a run."""
    with read_write(config):
        for key in config:
            if key != "hydra":
                _hide_below(config._get_node(key), str(key))


def _hide_below(node: Any, name: str) -> None:
    if node is None or node._is_none() or node._is_missing() or node._is_interpolation():
        return
    if isinstance(node, DictConfig):
        for key in node:
            _hide_below(node._get_node(key), str(key))
    elif isinstance(node, ListConfig):
        for index in range(len(node)):
            _hide_below(node._get_node(index), name)
    elif isinstance(value := node._value(), str):
        secret = is_secret_name(name) and name != "noise_seed"
        hidden = HIDDEN if secret else hide(value)
        if hidden != value:
            node._set_value(hidden)


def check_typed_once(typed: Sequence[str]) -> None:
    """Each setting is typed once; of two values Hydra would take the last one, without a word.

    Args:
      typed: overrides as they were typed, those of Hydra's own settings too.

    Raises:
      ConfigError: one stands there twice.
    """
    parser = OverridesParser.create(config_loader=None)
    first: dict[str, str] = {}
    for text, override in zip(typed, parser.parse_overrides(list(typed)), strict=True):
        key = override.get_key_element().lstrip("+")
        if override.is_delete() or key == "hydra.mode":  # which Hydra types too
            continue
        if key in first:
            earlier, later = (
                redacted({key: one.partition("=")[2]})[key] for one in (first[key], text)
            )
            raise ConfigError(f"{key}={later}: it was set before, to {earlier}; set {key} once")
        first[key] = text


def guard() -> None:
    """From now on Hydra composes with `GuardedLoader`."""
    hydra_internals.ConfigLoaderImpl = GuardedLoader
