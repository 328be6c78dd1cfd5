"""Locations of artifacts: a folder on this machine, or an object store that MLflow supports."""

import re
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.paths import scheme_of
from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import resolved
from ecgexp.tracking.reasons import reason

_SETTING = "tracking.artifact_root"
_BELOW = re.compile(r"(?P<root>[^?#]*)(?P<query>.*)", re.DOTALL)
# What MLflow imports only when the first file is sent, after training has begun.
_CLIENTS = {
    "s3": ("boto3", "boto3"),
    "r2": ("boto3", "boto3"),
    "b2": ("boto3", "boto3"),
    "gs": ("google.cloud.storage", "google-cloud-storage"),
    "wasbs": ("azure.storage.blob", "azure-storage-blob"),
    "abfss": ("azure.storage.filedatalake", "azure-storage-file-datalake"),
    "sftp": ("pysftp", "pysftp"),
    "hdfs": ("pyarrow.fs", "pyarrow"),
    "viewfs": ("pyarrow.fs", "pyarrow"),
}


def artifact_location(root: str, experiment_name: str, base_dir: Path) -> str:
    """Return the address of a new experiment's artifacts.

    Args:
      root: a folder, or an address of any scheme.
      experiment_name: becomes a folder below.
      base_dir: folder that a relative `root` is resolved against.

    Raises:
      ConfigError: a `file:` address of another machine.
    """
    scheme = scheme_of(root)
    if scheme in ("", "file"):
        return resolved(_folder(root, base_dir) / experiment_name).as_uri()
    found = _BELOW.fullmatch(root)
    assert found is not None  # noqa: S101 - it matches any text
    folder = found["root"][len(scheme) :].rstrip("/")
    return f"{scheme}{folder}/{quote(experiment_name)}{found['query']}"


def check_location(location: str, *, tracking_uri: str) -> None:
    """Check that MLflow could send a file to `location`; nothing is sent.

    Args:
      location: address of the artifacts.
      tracking_uri: address of the store.

    Raises:
      ConfigError: MLflow does not support the scheme, or a package or setting that it needs is
        missing.
    """
    from mlflow.store.artifact.artifact_repository_registry import (
        get_artifact_repository,
        get_registered_artifact_repositories,
    )

    scheme, shown = scheme_of(location), redact(location)
    known = sorted(filter(None, get_registered_artifact_repositories()))
    if scheme and scheme not in known:
        raise ConfigError(
            f"{_SETTING}={shown}: MLflow does not support the scheme {scheme}; use a folder, or "
            f"one of {', '.join(known)}"
        )
    module, package = _CLIENTS.get(scheme, (None, None))
    if module is not None and not _is_installed(module):
        raise ConfigError(
            f"{_SETTING}={shown}: MLflow needs the package {package}, which is not installed; use "
            f"`uv pip install {package}`, "
            "or a folder"
        )
    try:
        get_artifact_repository(location, tracking_uri=tracking_uri)
    except Exception as error:  # noqa: BLE001 - each repository of MLflow raises its own types
        raise ConfigError(
            f"{_SETTING}={shown}: MLflow cannot use it: {reason(error)}; use a folder, or another "
            "address"
        ) from error


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package of the module is missing
        return False


def _folder(root: str, base_dir: Path) -> Path:
    if scheme_of(root) != "file":
        return base_dir / root
    parts = urlsplit(root)
    if parts.netloc not in ("", "localhost"):
        raise ConfigError(
            f"{_SETTING}={root}: it is on another machine; use file:///FOLDER, or a folder"
        )
    return base_dir / url2pathname(parts.path)
