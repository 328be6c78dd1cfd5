"""Explanation of Hydra's errors: what was typed, what is wrong with it, what to use instead."""

import difflib
import re
from collections.abc import Callable, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ecgexp.config.untrusted_overrides import NOT_AN_OPTION
from ecgexp.settings.declaration import ConfigError, unknown_key
from ecgexp.settings.installation import install_extra
from ecgexp.settings.location import config_dir
from ecgexp.settings.renamed import OPTIONS, renamed

_ABSENT = re.compile(r"Interpolation key '(dataset\.\w+)' not found\s+full_key: ([\w.]+)")
_MOST_SHOWN = 4  # options that a mistyped one may mean

# Mappings to which users add keys of their own.
_FREE = ("grouping.classes", "tracking.tags", "dataset.lead_aliases", "dataset.symbols")

# Options that Hydra's launchers of other packages provide -> the extra that installs them.
_EXTRAS = {
    "hydra/launcher/joblib": "joblib",
    "hydra/launcher/submitit_local": "slurm",
    "hydra/launcher/submitit_slurm": "slurm",
}

Compose = Callable[[Sequence[str]], DictConfig]
"""Overrides -> the composed configuration, with the node `hydra`."""


def explanation(error: Exception, overrides: Sequence[str], *, compose: Compose) -> ConfigError:
    """Convert an error of Hydra to one line with a remedy.

    Args:
      error: error of Hydra.
      overrides: overrides that were composed.
      compose: composes other overrides, to name the keys that there are.
    """
    found = re.search(r"Could not load '([^']+)'", str(error))
    if found and (extra := _EXTRAS.get(found[1])) is not None:
        return ConfigError(
            f"{found[1]} is an option of a package that is not installed; {install_extra(extra)}"
        )
    if (
        isinstance(error, MissingConfigException)
        and error.options is not None
        and error.missing_cfg_file
    ):
        chosen = error.missing_cfg_file.replace("/", "=", 1)
        if (new := OPTIONS.get(chosen)) is not None:
            return ConfigError(renamed(chosen, new))
        group, _, option = error.missing_cfg_file.rpartition("/")
        close = _similar(option, error.options)
        hint = (
            f"did you mean {group}={f' or {group}='.join(close)}?"
            if close
            else f"use one of {', '.join(error.options)}."
        )
        return ConfigError(f"{group}={option} does not exist; {hint}")
    if NOT_AN_OPTION in str(error):
        return ConfigError(_option_needed(overrides))
    if found := re.search(
        r"Did you mean to override (\S+@\S+)\?\n.*use \+([^=]+)=(.*)", str(error)
    ):
        placed, group, option = found.groups()
        return ConfigError(f"{group}={option} is part of another group; use {placed}={option}")
    if isinstance(error, ConfigCompositionException) and (
        found := re.search(r"Could not override '([^']+)'", str(error))
    ):
        return ConfigError(_unknown(found[1], overrides, compose))
    if found := re.search(r"Could not (?:override|find match for)[^']*'([^'@]+)", str(error)):
        return ConfigError(
            unknown_key(found[1], known=[str(name) for name in compose([]) if name != "hydra"])
        )
    return ConfigError(one_line(error))


def _similar(option: str, options: Sequence[str]) -> list[str]:
    """Return the options that a mistyped one may mean: by spelling, else by the words in it."""
    if close := difflib.get_close_matches(option, options, n=1):
        return close
    words = set(re.split(r"[_\W]+", option.lower())) - {""}
    shared = {other: len(words & set(other.lower().split("_"))) for other in options}
    most = max(shared.values(), default=0)
    return [other for other in options if most and shared[other] == most][:_MOST_SHOWN]


def _unknown(key: str, overrides: Sequence[str], compose: Compose) -> str:
    """Return the message for an unknown key, from the configuration without the override."""
    if key in _FREE or key.rpartition(".")[0] in _FREE:
        return _not_added(key, overrides)
    others = [text for text in overrides if not text.lstrip("+~").startswith((f"{key}=", "-"))]
    parent = key.rpartition(".")[0]
    try:
        whole = compose(others)
    except (HydraException, ConfigError, OmegaConfBaseException):
        return unknown_key(key, known=[])
    while True:
        node = OmegaConf.select(whole, parent) if parent else whole
        if isinstance(node, DictConfig):
            known = [str(name) for name in node if name not in ("_target_", "hydra")]
            if parent == key.rpartition(".")[0]:
                above, dot, _ = parent.rpartition(".")
                return unknown_key(
                    key, known=known, above=list(OmegaConf.select(whole, above)) if dot else ()
                )
            if not parent:
                return unknown_key(key, known=[])
            return (
                f"{key} is not a setting; the settings of {parent} are: {', '.join(sorted(known))}"
            )
        parent = parent.rpartition(".")[0]


def _not_added(key: str, overrides: Sequence[str]) -> str:
    """Return the message for a key of a user's own, which Hydra adds only with a plus sign."""
    value = next((text.partition("=")[2] for text in overrides if text.startswith(f"{key}=")), "")
    added = f"+{key}={value}"
    if key in _FREE:
        first = re.match(r"\{\s*([^\s:,{}]+)\s*:\s*([^,{}]*[^,{}\s])", value)
        added = f"+{key}.{first[1]}={first[2]}" if first else f"+{key}.NAME=VALUE"
    parent = key if key in _FREE else key.rpartition(".")[0]
    return f"{key}={value}: adds to {parent}, which needs a plus sign; use '{added}'."


def _option_needed(overrides: Sequence[str]) -> str:
    """Return the message for overrides of which one gives a group no name, e.g. `model=null`."""
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        group, value = override.get_key_element().lstrip("+"), override.value()
        options = _options_of(group.partition("@")[0])
        if not isinstance(value, str | list | dict) and (options or not group):
            shown = "null" if value is None else str(value)
            use = f"{group}={options[0]}" if options else "GROUP=OPTION"
            return f"{group}={shown}: a group takes the name of an option; use e.g. {use}"
    return "an override gives a group something that is not the name of an option; use GROUP=OPTION"


def _options_of(group: str) -> list[str]:
    return sorted(path.stem for path in (config_dir() / group).glob("*.yaml")) if group else []


def one_line(error: Exception) -> str:
    """Return the text of an error in one line, without Hydra's advice on its variable."""
    if found := _ABSENT.search(str(error)):
        needed, key = found.groups()
        group = key.partition(".")[0]
        return (
            f"{group}: {key} follows from {needed}, which this dataset does not have; use another "
            f"option of {group}"
            + (", e.g. features=signal." if group == "features" else f", or give {key} a value.")
        )
    return "; ".join(
        line.strip()
        for line in str(error).splitlines()
        if line.strip() and "HYDRA_FULL_ERROR" not in line
    )
