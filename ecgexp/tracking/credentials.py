"""Credentials in addresses on the command line.

Held by this process and its children, and never written.

They are removed before a configuration is composed, so that no configuration, note, log or store
ever contains them, whenever the process ends. The remaining address, `http://***@host`, is expanded
wherever it is opened.
"""

import json
import os
import re
from collections.abc import Sequence
from urllib.parse import quote, urlsplit

from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.redaction import HIDDEN, is_secret_name, redact

_VARIABLE = "_ECGEXP_CREDENTIALS"  # in the environment, which the processes of a launcher inherit
_USER = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.\-]{0,30})\\*:\\*/\\*/"
    r"(?P<user>[^\s/\"]*)@(?P<host>[^\s/?#\"',}\]]*)",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.\-]{0,30}://[^\s\"']+", re.IGNORECASE)


def without_credentials(words: Sequence[str]) -> list[str]:
    """Return the words of a command line without their secrets.

    `with_credentials` restores those of addresses.

    A noise seed stays: the run cannot be resumed without it.

    Raises:
      ConfigError: a setting of Hydra contains a secret, which Hydra would write to the run's
        folder.
    """
    return [_without(word) for word in words]


def hide(text: str) -> str:
    """Return a setting's value without its secrets.

    `with_credentials` restores those of addresses.
    """
    hidden = redact(text, noise_seeds=False)
    if hidden != text:
        known = _known()
        for found in _USER.finditer(text):
            host = found["host"].replace("\\", "")
            known[f"{found['scheme'].lower()}://{HIDDEN}@{host}"] = found["user"].replace("\\", "")
        for found in _ADDRESS.finditer(text):
            known[redact(found[0])] = found[0]
        os.environ[_VARIABLE] = json.dumps(known)
    return hidden


def with_credentials(uri: str) -> str:
    """Return the address that can be opened, given one with redacted credentials.

    They come from the command line of this process, else from `MLFLOW_TRACKING_USERNAME`,
    `_PASSWORD` and `_TOKEN`.

    Raises:
      ConfigError: neither source has them.
    """
    if HIDDEN not in uri:
        return uri
    known, parts = _known(), urlsplit(uri)
    if uri in known:
        return known[uri]
    _, _, host = parts.netloc.rpartition("@")
    user = known.get(f"{parts.scheme}://{HIDDEN}@{host}") or _from_environment(parts.scheme)
    if user is None or HIDDEN in uri.replace(parts.netloc, "", 1):
        raise ConfigError(
            f"tracking.uri={uri}: its credentials are not stored anywhere; set "
            "MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, or use tracking.uri= with them"
        )
    return parts._replace(netloc=f"{user}@{host}" if user else host).geturl()


def _without(word: str) -> str:
    key, equals, value = word.partition("=")
    name = key.lstrip("+~").rpartition(".")[2]
    if equals and is_secret_name(name):
        kept = (
            name == "noise_seed"
            or value in ("", "null")
            or value.startswith("${")
            or value.strip("'\"") == HIDDEN
        )
        hidden = word if kept else f"{key}={HIDDEN}"
    else:
        hidden = hide(word)
    if hidden != word and key.lstrip("+~").startswith("hydra"):
        raise ConfigError(
            f"{key}={HIDDEN}: Hydra would write the secret into the run's folder; set it in the "
            "environment, and use "
            f"'{key}=${{oc.env:NAME}}'"
        )
    return hidden


def _known() -> dict[str, str]:
    return json.loads(os.environ.get(_VARIABLE, "{}"))


def _from_environment(scheme: str) -> str | None:
    """The user information of an address.

    Empty for a server, where MLflow itself reads the environment.
    """
    name, password = (
        os.environ.get("MLFLOW_TRACKING_USERNAME"),
        os.environ.get("MLFLOW_TRACKING_PASSWORD"),
    )
    if scheme in ("http", "https"):
        return "" if (name and password) or os.environ.get("MLFLOW_TRACKING_TOKEN") else None
    return f"{quote(name, safe='')}:{quote(password, safe='')}" if name and password else None
