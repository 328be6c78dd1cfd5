"""Error messages of a tracking store in one line, without secrets, with the remedy for a login."""

import re
from typing import Any

from ecgexp.settings.redaction import redact

LOGIN = (
    "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, to a "
    "login that may do this"
)
_REFUSED = (401, 403)
_STATUS = re.compile(r"failed with error code (\d{3})\b")
_STATEMENT = re.compile(
    r"\s*\[SQL: .*", re.DOTALL
)  # SQLAlchemy appends the statement and its values


def reason(error: BaseException | str) -> str:
    """Return the message of a store's error without the SQL statement.

    For a refused login, with the remedy.
    """
    text = _STATEMENT.sub("", redact(str(error)))
    line = " ".join(text.split()) or type(error).__name__
    return f"{line.rstrip('.')}: the server refuses the login; {LOGIN}" if is_login(error) else line


def is_login(error: Any) -> bool:
    """Return whether the server refuses the user (401) or the permission (403)."""
    seen: list[Any] = []
    while error is not None and error not in seen:
        seen.append(error)
        status = getattr(getattr(error, "response", None), "status_code", None)
        found = _STATUS.search(str(error))
        code = getattr(error, "error_code", None)
        if (
            status in _REFUSED
            or (found and int(found[1]) in _REFUSED)
            or code in ("UNAUTHENTICATED", "PERMISSION_DENIED")
        ):
            return True
        error = getattr(error, "__cause__", None)
    return False
