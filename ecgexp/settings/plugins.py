"""Plug-ins: installed packages with settings classes and YAML files of their own.

A distribution declares its package in the entry-point group `ecgexp.plugins`:

    [project.entry-points."ecgexp.plugins"]
    my_ecg = "my_ecg"

Its public names are then `my_ecg.NAME`: the settings classes that `my_ecg/__init__.py` defines, or
imports from modules of the package. A folder `my_ecg/conf` adds options to the configuration
groups.

**Guarantees**: no module of a plug-in is imported before one of its public names is built; which
names it has is read from its source (`tests/unit/settings/test_plugins.py`).
"""

import hashlib
import importlib.machinery
import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from ecgexp.settings.lazy_exports import declares_settings, imported_names

GROUP = "ecgexp.plugins"
_OWN = ("ecgexp", "hydra_plugins")
_CONF = "conf"


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """An installed plug-in.

    Attributes:
      name: of its package, the first part of its public names.
      distribution: name of the distribution that declares it.
      version: of the distribution.
      folder: of the package.
    """

    name: str
    distribution: str
    version: str
    folder: Path

    @property
    def conf(self) -> Path | None:
        """The folder of its YAML files; None if it has none."""
        folder = self.folder / _CONF
        return folder if folder.is_dir() else None

    @property
    def label(self) -> str:
        """How messages call it, e.g. `my_ecg (my-ecg 0.1.0)`."""
        return f"{self.name} ({self.distribution} {self.version})"

    @cached_property
    def modules(self) -> Mapping[str, str]:
        """Name of a settings class -> its module, read from the source.

        Raises:
          SyntaxError, OSError, UnicodeError: the source cannot be read.
        """
        found = imported_names(self.folder / "__init__.py", self.name)
        return {
            name: module
            for name, module in sorted(found.items())
            if module.split(".")[0] == self.name
            and declares_settings(self._source_of(module), name)
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Its public names; empty if the source cannot be read."""
        try:
            return tuple(f"{self.name}.{name}" for name in self.modules)
        except (SyntaxError, OSError, ValueError):
            return ()

    @property
    def options(self) -> tuple[str, ...]:
        """The options that its YAML files add, e.g. `model=my_cnn`."""
        return () if self.conf is None else options_in(self.conf)

    @property
    def code(self) -> str:
        """Version and digest, as runs and models record them."""
        return f"{self.distribution} {self.version} sha256:{self.sha256()}"

    def sha256(self) -> str:
        """Compute the SHA-256 of the names and contents of its files, without compiled ones."""
        digest = hashlib.sha256()
        for path in sorted(self.files(), key=lambda path: path.relative_to(self.folder).parts):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(self.folder).as_posix()} {len(content)}\n".encode())
            digest.update(content)
        return digest.hexdigest()

    def files(self) -> Iterator[Path]:
        """Yield its files, without compiled ones."""
        for folder, _, names in os.walk(self.folder):
            if Path(folder).name != "__pycache__":
                yield from (Path(folder) / name for name in names if not name.endswith(".pyc"))

    def _source_of(self, module: str) -> Path:
        path = self.folder.joinpath(*module.split(".")[1:])
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@dataclass(frozen=True, kw_only=True)
class RefusedPlugin:
    """A declared plug-in that cannot be used.

    Attributes:
      name: of the entry point.
      why: what is wrong, and what to do.
    """

    name: str
    why: str


@cache
def installed() -> Mapping[str, Plugin]:
    """Return the usable plug-ins by name."""
    return {one.name: one for one in _declared() if isinstance(one, Plugin)}


@cache
def refused() -> Sequence[RefusedPlugin]:
    """Return the declared plug-ins that cannot be used."""
    return tuple(one for one in _declared() if isinstance(one, RefusedPlugin))


def options_in(folder: Path) -> tuple[str, ...]:
    """Return the options of a folder of YAML files, e.g. `model=my_cnn`, in alphabetical order."""
    found = (path.relative_to(folder).with_suffix("") for path in folder.rglob("*.yaml"))
    return tuple(
        sorted(f"{path.parent.as_posix()}={path.name}" for path in found if len(path.parts) > 1)
    )


def used_by(values: Any) -> Mapping[str, Plugin]:
    """Return the plug-ins whose classes nested values name as `_target_`, by name.

    Args:
      values: nested mappings, lists and scalars, such as a composed configuration.

    Example:
      >>> used_by({"model": {"_target_": "ecgexp.models.Cnn1d"}})
      {}
    """
    names = sorted({str(target).partition(".")[0] for target in _targets(values)})
    return {name: installed()[name] for name in names if name in installed()}


def code_of(values: Any) -> Mapping[str, str]:
    """Return name -> version and digest of the plug-ins that nested values name; see `used_by`."""
    return {name: plugin.code for name, plugin in used_by(values).items()}


def install_command(code: str) -> str:
    """Return what installs a plug-in, as a part of a message.

    Args:
      code: as `Plugin.code`.

    Example:
      >>> install_command("my-ecg 0.1.0 sha256:f1f2")
      '`pip install my-ecg==0.1.0`, from where you have it'
    """
    return f"`pip install {'=='.join(code.split(' ')[:2])}`, from where you have it"


def is_foreign(value: object) -> bool:
    """Return whether the class of an object is none of ecgexp's own."""
    return type(value).__module__.partition(".")[0] != "ecgexp"


def _targets(values: Any) -> Iterator[Any]:
    if isinstance(values, Mapping):
        if "_target_" in values:
            yield values["_target_"]
        values = list(values.values())
    if isinstance(values, list | tuple):
        for value in values:
            yield from _targets(value)


def _declared() -> Sequence[Plugin | RefusedPlugin]:
    entries = sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.name)
    declaring: dict[str, list[metadata.EntryPoint]] = {}
    for entry in entries:
        declaring.setdefault(entry.name, []).append(entry)
    return [_plugin(name, found) for name, found in declaring.items()]


def _plugin(name: str, entries: Sequence[metadata.EntryPoint]) -> Plugin | RefusedPlugin:
    owners = sorted(_owner(entry) for entry in entries)
    of = " and ".join(" ".join(owner) for owner in owners)
    if len(entries) > 1:
        return RefusedPlugin(name=name, why=f"{of} both declare it; uninstall all but one of them")
    if name in _OWN:
        return RefusedPlugin(name=name, why=f"{of} declares a package of ecgexp; uninstall it")
    if not name.isidentifier() or entries[0].value != name:
        return RefusedPlugin(
            name=name,
            why=f"{of} declares {name} = {entries[0].value!r}; an entry point has the name of its "
            f'package: use my_ecg = "my_ecg" in its pyproject.toml',
        )
    spec = _spec(name)
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        return RefusedPlugin(
            name=name,
            why=f"{of} has no package {name} with an __init__.py; install it again",
        )
    distribution, version = owners[0]
    folder = Path(spec.origin).parent
    return Plugin(name=name, distribution=distribution, version=version, folder=folder)


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """Return where a top-level package is; nothing is imported."""
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _owner(entry: metadata.EntryPoint) -> tuple[str, str]:
    found = entry.dist
    return ("a distribution", "unknown") if found is None else (found.name, found.version)
