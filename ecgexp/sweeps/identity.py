"""Identity of jobs: digests that recognize finished jobs, and names that users see."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ecgexp.settings.plugins import used_by
from ecgexp.settings.redaction import redacted
from ecgexp.storage.digests import digest, file_sha256
from ecgexp.tracking.params import has_effect, parameters
from ecgexp.tracking.provenance import versions

# Packages that only start runs or read finished ones; a change in them changes no result.
_NO_PART_OF_A_RUN = ("analysis", "api", "cli", "inference", "sweeps", "tracking")


def job_digest(values: Mapping[str, Any], code: str) -> str:
    """Compute the SHA-256 of the settings and the code that determine a run's result.

    The code includes that of the plug-ins that the settings name. The beats have a separate, keyed
    digest; the machine is not included.

    Args:
      values: resolved configuration.
      code: digest from `code_digest`.
    """
    used = {name: plugin.sha256() for name, plugin in used_by(values).items()}
    return digest(
        {
            "configuration": parameters(values),
            "code": code,
            **({"plugins": used} if used else {}),
        }
    )


def sweep_digest(overrides: Iterable[str]) -> str:
    """Compute the SHA-256 of a sweep's overrides, independent of their order.

    Args:
      overrides: as typed; those that do not affect a result are left out.
    """
    return digest(sorted(text for text in overrides if has_effect(_key(text))))


@cache
def code_digest() -> str:
    """Compute the SHA-256 of the source code and package versions that affect a result."""
    root = Path(__file__).parent.parent
    paths = {path.relative_to(root): path for path in sorted(root.rglob("*.py"))}
    sources = {
        str(name): file_sha256(path)
        for name, path in paths.items()
        if name.parts[0] not in _NO_PART_OF_A_RUN
    }
    return digest({"sources": sources, "versions": versions()})


def job_name(overrides: Sequence[str], typed: Sequence[str]) -> str:
    """Name a job by the overrides that its sweep varies, e.g. `noise_multiplier=1.0 seed=2`.

    Args:
      overrides: overrides of the job.
      typed: overrides of the sweep as typed; those that all jobs share are left out of the name.
    """
    shared = {_bare(text) for text in typed}
    own = [text for text in overrides if _bare(text) not in shared] or list(overrides)
    keys = [_key(text) for text in own]
    last = [key.rpartition(".")[2] for key in keys]
    names = [
        short if last.count(short) == 1 else key for key, short in zip(keys, last, strict=True)
    ]
    return (
        " ".join(f"{name}={text.partition('=')[2]}" for name, text in zip(names, own, strict=True))
        or "defaults"
    )


def sweep_name(typed: Sequence[str]) -> str:
    """Name a sweep by its overrides, varied ones first, because lists of runs truncate names.

    Args:
      typed: overrides of the sweep as typed; those that do not affect a result, as of the console,
        are left out.
    """
    named = [text for text in typed if has_effect(_key(text))]
    varies = [text for text in named if re.search(r"^[^[{'\"]*[,(]", text.partition("=")[2])]
    ordered = [*varies, *(text for text in named if text not in varies)]
    return job_name(ordered, ordered)


def command(
    overrides: Sequence[str], *, multirun: bool = False, config_dir: Path | None = None
) -> str:
    """Return the shell command for some overrides, with secrets redacted.

    Args:
      overrides: as typed.
      multirun: whether it is a sweep.
      config_dir: the user's own folder of YAML files; below the working folder, it is named
        relative to that, as it was probably typed.
    """
    own = [] if config_dir is None else ["--config-dir", _from_here(config_dir)]
    words = []
    for text in overrides:
        key, equals, value = text.partition("=")
        words.append(f"{key}{equals}{redacted({key: value})[key]}" if equals else text)
    return shlex.join(["ecgexp", *own, *(["-m"] if multirun else []), *words])


def _from_here(folder: Path) -> str:
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def _bare(override: str) -> str:
    """Remove what Hydra adds to an override of a job, such as backslashes and capitals of True."""
    return re.sub(r"[\\'\"]", "", override).lower()


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")
