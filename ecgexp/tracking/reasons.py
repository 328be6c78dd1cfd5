"""Why a tracking store does not do what it is asked: in one whole line, without secrets, and with what to do about a login."""

import re
from typing import Any

from ecgexp.settings.redaction import redact

LOGIN = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, to a login that may do this"
_REFUSED = (401, 403)
_STATUS = re.compile(r"failed with error code (\d{3})\b")
_STATEMENT = re.compile(
    r"\s*\[SQL: .*", re.DOTALL
)  # SQLAlchemy repeats the statement and its values after its message


def reason(error: BaseException | str) -> str:
    """The message of an error of a store, nothing of it cut but a repeated SQL statement; of a login, with the remedy."""
    text = _STATEMENT.sub("", redact(str(error)))
    line = " ".join(text.split()) or type(error).__name__
    return f"{line.rstrip('.')}: the server refuses the login; {LOGIN}" if is_login(error) else line


def is_login(error: Any) -> bool:
    """Whether the server refuses who asks (401) or what they may do (403)."""
    seen: list[Any] = []
    while error is not None and error not in seen:
        seen.append(error)
        status = getattr(getattr(error, "response", None), "status_code", None)
        told = _STATUS.search(str(error))
        code = getattr(error, "error_code", None)
        if (
            status in _REFUSED
            or (told and int(told[1]) in _REFUSED)
            or code in ("UNAUTHENTICATED", "PERMISSION_DENIED")
        ):
            return True
        error = getattr(error, "__cause__", None)
    return False
