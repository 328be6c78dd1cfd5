"""Which job is which: digests by which a finished one is known again, and the names by which people tell them apart."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ecgexp.settings.redaction import redacted
from ecgexp.storage.digests import digest, file_sha256
from ecgexp.tracking.params import has_effect, parameters
from ecgexp.tracking.provenance import versions

# Packages that only start runs or look at finished ones: to change them changes no result.
_NO_PART_OF_A_RUN = ("analysis", "cli", "inference", "sweeps", "tracking")


def job_digest(values: Mapping[str, Any], code: str) -> str:
    """SHA-256 of what decides a run's result, but for its beats and the machine.

    Args:
      values: the resolved configuration.
      code: of `code_digest`.
    """
    return digest({"configuration": parameters(values), "code": code})


def sweep_digest(overrides: Iterable[str]) -> str:
    """SHA-256 of a sweep's overrides as they were typed, in whatever order; what has no effect on a result is no part of it."""
    return digest(sorted(text for text in overrides if has_effect(_key(text))))


@cache
def code_digest() -> str:
    """SHA-256 of the source that makes a result, and of the versions of the packages that shape it."""
    root = Path(__file__).parent.parent
    paths = {path.relative_to(root): path for path in sorted(root.rglob("*.py"))}
    sources = {
        str(name): file_sha256(path)
        for name, path in paths.items()
        if name.parts[0] not in _NO_PART_OF_A_RUN
    }
    return digest({"sources": sources, "versions": versions()})


def job_name(overrides: Sequence[str], typed: Sequence[str]) -> str:
    """A job's name: only what differs between the jobs of its sweep, e.g. `noise_multiplier=1.0 seed=2`.

    Args:
      overrides: of the job.
      typed: the sweep's overrides as they were typed; those that the job has too say nothing about it.
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
    """A sweep's name: what it varies first, since lists of runs show but the beginning of a name."""
    varies = [text for text in typed if re.search(r"^[^[{'\"]*[,(]", text.partition("=")[2])]
    ordered = [*varies, *(text for text in typed if text not in varies)]
    return job_name(ordered, ordered)


def command(overrides: Sequence[str], *, multirun: bool = False) -> str:
    """What to type to have that again; secrets are blotted out."""
    words = []
    for text in overrides:
        key, equals, value = text.partition("=")
        words.append(f"{key}{equals}{redacted({key: value})[key]}" if equals else text)
    return shlex.join(["ecgexp", *(["-m"] if multirun else []), *words])


def _bare(override: str) -> str:
    """Without what Hydra adds when it hands an override to a job: backslashes before colons, capitals of True and False."""
    return re.sub(r"[\\'\"]", "", override).lower()


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")
