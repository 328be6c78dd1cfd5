"""Hide secrets in texts and settings before they are written, printed or sent.

A secret is recognized by its position (the user information of an address, the value after a name
such as `password=`) or by its published form (`ghp_…`, `AKIA…`, a PEM block). Random-looking text
is not treated as a secret, because digests and run ids look random too.

The running time is linear in the length of the text. Each pattern begins with a literal and is
applied only to texts that contain the literal; its repetitions end at a character with which the
next match may begin, or do not backtrack after a failed match.
"""

import logging
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import TracebackType
from typing import Any

HIDDEN = "***"

_Span = tuple[int, int, str]
"""Start, end and replacement of a secret."""

# Lowercase names of secrets and endings of such names; `-` also stands for `_` and for no
# character.
_NAMES = (
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "user-pass",
    "db-pass",
    "pwd",
    "secret",
    "token",
    "credential",
    "credentials",
    "bearer",
    "cookie",
    "session-id",
    "connection-string",
    "authorization",
    "auth",
    "api-key",
    "access-key",
    "access-key-id",
    "secret-key",
    "private-key",
    "account-key",
    "signing-key",
    "encryption-key",
    "subscription-key",
    "ssh-key",
    "noise-seed",
)
_WHOLE_NAMES = ("pat", "sig")  # too short to match as endings of other names
_NO_SECRET = "epsilon_if_noise_were_secret"


def _spellings(name: str) -> Iterable[str]:
    return {name.replace("-", joint) for joint in ("_", "-", "")}


_SPELLED = tuple(sorted({spelled for name in _NAMES for spelled in _spellings(name)}))
_STEMS = (
    "pass",
    "pwd",
    "secret",
    "token",
    "credential",
    "bearer",
    "cookie",
    "session",
    "connection",
    "auth",
    "key",
    "noise",
)
_BY_STEM = {stem: tuple(name for name in _SPELLED if stem in name) for stem in _STEMS}
_KEY = re.compile(
    rf"(?:(?:{'|'.join(_SPELLED)})|(?<![a-z])(?:{'|'.join(_WHOLE_NAMES)}))(?:[_-]?\d+)?$"
)

# Values that are kept: null and booleans, references such as ${oc.env:NAME}, and hidden secrets.
_STAYS = r"""(?!(?:null|none|true|false)(?![^\s,;&'"}\])])|\$\{|\\*["']?\*\*\*)"""
_SEPARATOR = r"""(?P<close>\\*["'])?[ \t]*(?:=>|:=|\\*[=:](?!>)|%3d|>(?=[^\s<>]+</))[ \t]*"""
_QUOTED = "|".join(
    (
        r'"(?:[^"\\\n]|\\.)*"?',
        r"'(?:[^'\\\n]|\\.|'')*'?",
        r"""(?P<escape>\\+)"(?:(?!(?<!\\)(?P=escape)").)*(?:(?P=escape)")?""",
    )
)
_WITH_SCHEME = r"(?:bearer|basic|token|digest|negotiate|apikey)[ \t]+[^\s,;\"'<>]+"
_WORD = r"(?:[^\s,;&'\"<]+|,(?![\w.+\-]*\\*[=:]|[\s,\"'\[{]))+"
_AFTER_NAME = (
    rf"(?:[_-]?\d+)?(?:{_SEPARATOR}{_STAYS}(?:(?P<quoted>{_QUOTED})|(?P<bare>{_WITH_SCHEME}|{_WORD}))"
    r"|[ \t]+(?P<typed>[^\s\-]\S*))"
)
# Text before a key at the beginning of a YAML line. Its value is the rest of the line or the
# indented block below.
_YAML_BEFORE = re.compile(r"[ \t]*(?:-[ \t]+)*[\w.\-/+]*")
_YAML_BLOCK = re.compile(r"[|>][-+]?[ \t]*(?:\n[ \t]+[^\n]*)+")
_REST_OF_LINE = re.compile(r"[^\n]*")
_OPTION_BEFORE = re.compile(r"--[a-z\-]*\Z")
_LOOK_BACK = 200

_FORMS = {
    **{f"gh{kind}_": r"\w{4,}" for kind in "pousr"},
    "github_pat_": r"\w{4,}",
    **{
        f"gl{kind}-": r"[\w\-]{8,}"
        for kind in ("pat", "dt", "rt", "ft", "cbt", "ptt", "soat", "imt", "agent")
    },
    **dict.fromkeys(("AKIA", "ASIA", "AROA"), r"[A-Z0-9]{8,}"),
    **{f"xox{kind}-": r"[\w\-]{4,}" for kind in "abeoprs"},
    "xapp-": r"[\w\-]{4,}",
    "sk-": r"(?=[A-Za-z_\-]{0,40}\d)[\w\-]{8,}",
    **{f"{kind}_": r"\w{8,}" for kind in ("sk_live", "rk_live", "sk_test", "rk_test")},
    **{f"{kind}_": r"[A-Za-z0-9]{16,}" for kind in ("hf", "npm")},
    **dict.fromkeys(("pypi-", "AIza", "ya29.", "dapi", "dop_v1_"), r"[\w\-]{20,}"),
    "eyJ": r"[\w\-]{4,}\.[\w\-]{4,}(?:\.[\w\-]*)?",
}

# The user information of an address up to the last @ before the host, including the backslashes
# that Hydra and JSON put before colons and slashes. The second pattern matches passwords with
# unescaped slashes: the text after the colon is not a port number.
_USER_INFO = re.compile(r":(?P<slashes>\\*/\\*/)(?!\*\*\*@)[^\s/\"<>]*@")
_SLASHED = re.compile(
    r":(?P<slashes>\\*/\\*/)[^\s/:@\"<>\\]+\\*:(?!\d+\\*(?:[/?#,\s\"'}\])]|$))(?:[^\s@\":]|:(?!\\*/))*@"
)
_ENCODED = re.compile(r"%3a%2f%2f(?!\*\*\*)(?:(?!%3a%2f)[^\s\"/&])*%40")
_BEARER = re.compile(r"bearer[ \t]+(?!\*\*\*)[a-z0-9._~+/\-]+=*")
_QUERY = re.compile(r"(?P<start>[?&](?:key|code|signature|x-amz-[a-z]+)=)(?!\*\*\*)[^\s&\"'<>]+")
_PEM = re.compile(
    r"-----BEGIN [^\n-]*PRIVATE KEY[^\n-]*-----(?:[^-]|-(?!----))*(?:-----END[^\n-]*-----)?"
)
_WEBHOOK = re.compile(r"hooks\.slack\.com/services/(?P<secret>[A-Za-z0-9/]+)")


def hide_addresses(text: str) -> str:
    """Hide the user information of addresses: `http://me:pw@host` becomes `http://***@host`.

    The user name is hidden too, because tokens are often passed as user names.

    Args:
      text: Any text.

    Returns:
      The text without user information.
    """
    if "@" in text:
        text = _USER_INFO.sub(rf":\g<slashes>{HIDDEN}@", text)
        text = _SLASHED.sub(rf":\g<slashes>{HIDDEN}@", text)
    return text


def redact(text: str, *, noise_seeds: bool = True) -> str:
    """Hide every secret in `text`: `token=abc` becomes `token=***`.

    **Guarantees**: the running time is linear in the length of `text` for any content, and
      redaction is
    idempotent (`tests/unit/settings/test_redaction.py`).

    Args:
      text: Any text.
      noise_seeds: Also hide seeds of privacy noise. They are no secret to the user who starts the
        run.

    Returns:
      The text with `***` in place of each secret.
    """
    if "PRIVATE KEY" in text:
        text = _PEM.sub(HIDDEN, text)
    text = hide_addresses(text)
    spans = [*_named(text, noise_seeds=noise_seeds), *_by_form(text)]
    return _replace(text, spans) if spans else text


def redacted(values: Any) -> Any:
    """Hide every secret in nested mappings and lists; everything a run writes passes through it.

    The seed of privacy noise is a secret: with the seed, the noise of a private run can be
      subtracted.

    Args:
      values: Nested mappings, lists and scalars.

    Returns:
      The same structure with `***` in place of each secret.
    """
    if isinstance(values, Mapping):
        return {
            key: _hide(value) if is_secret_name(str(key)) else redacted(value)
            for key, value in values.items()
        }
    if isinstance(values, list | tuple):
        return [redacted(value) for value in values]
    return redact(values) if isinstance(values, str) else values


def is_secret_name(name: str) -> bool:
    """Return whether a setting of that name holds a secret."""
    return _KEY.search(name[-_LOOK_BACK:].lower()) is not None and not name.endswith(_NO_SECRET)


def _hide(value: Any) -> Any:
    if (
        value is None
        or isinstance(value, bool)
        or (isinstance(value, str) and value.startswith("${"))
    ):
        return value
    return HIDDEN


def _named(text: str, *, noise_seeds: bool) -> Iterator[_Span]:
    """Yield the values that follow names of secrets."""
    lower = _lower(text)
    stems = [stem for stem in _STEMS if stem in lower and (noise_seeds or stem != "noise")]
    for name in sorted({name for stem in stems for name in _BY_STEM[stem] if name in lower}):
        yield from _after(_after_name(name), lower)
    for name in _WHOLE_NAMES:
        if name in lower:
            yield from _after(_after_name(name, whole=True), lower)
    if "bearer" in stems:
        yield from ((found.start() + 7, found.end(), HIDDEN) for found in _BEARER.finditer(lower))
    if "%3a%2f%2f" in lower:
        yield from (
            (found.start() + 9, found.end() - 3, HIDDEN) for found in _ENCODED.finditer(lower)
        )
    if "=" in lower and ("?" in lower or "&" in lower):
        yield from ((found.end("start"), found.end(), HIDDEN) for found in _QUERY.finditer(lower))
    if "hooks.slack.com" in lower:
        yield from ((*found.span("secret"), HIDDEN) for found in _WEBHOOK.finditer(text))


@cache
def _after_name(name: str, *, whole: bool = False) -> re.Pattern[str]:
    alone = rf"(?<![a-z]{name})" if whole else ""
    return re.compile(f"{re.escape(name)}{alone}{_AFTER_NAME}")


def _after(pattern: re.Pattern[str], lower: str) -> Iterator[_Span]:
    done = 0
    for found in pattern.finditer(lower):
        begin = found.start()
        if begin < done:
            continue
        before = lower[max(0, begin - _LOOK_BACK) : begin]
        if found["typed"] is not None:
            if _OPTION_BEFORE.search(before):
                yield *found.span("typed"), HIDDEN
            continue
        if f"{before[-30:]}{found[0][:6]}".endswith(_NO_SECRET):
            continue
        if found["quoted"] is not None:
            quote = f'{found["escape"]}"' if found["escape"] else found["quoted"][0]
            yield *found.span("quoted"), f"{quote}{HIDDEN}{quote}"
            continue
        start, end = found.span("bare")
        if (
            found["close"] is None
            and lower[start - 1] in " \t"
            and _is_yaml(before, lower, begin, start)
        ):
            rest = _YAML_BLOCK.match(lower, start) or _REST_OF_LINE.match(lower, start)
            done = start if rest is None else rest.end()
            yield start, done, HIDDEN
            continue
        end -= len(found["bare"]) - len(found["bare"].rstrip("}])"))
        in_json = found["close"] is not None and '"' in found["close"]
        yield (
            start,
            max(start, end),
            f"{found['close']}{HIDDEN}{found['close']}" if in_json else HIDDEN,
        )


def _is_yaml(before: str, lower: str, begin: int, start: int) -> bool:
    line = before.rpartition("\n")[2]
    at_line_start = "\n" in before or begin <= _LOOK_BACK
    return (
        at_line_start
        and lower[begin:start].rstrip().endswith(":")
        and _YAML_BEFORE.fullmatch(line) is not None
    )


def _by_form(text: str) -> Iterator[_Span]:
    for form in _FORMS:
        if form[:2] in text and form in text:
            yield from ((*found.span(), HIDDEN) for found in _of_form(form).finditer(text))


@cache
def _of_form(form: str) -> re.Pattern[str]:
    literal = re.escape(form)
    return re.compile(rf"{literal}(?<![A-Za-z0-9_\-]{literal}){_FORMS[form]}", re.ASCII)


def _replace(text: str, spans: Iterable[_Span]) -> str:
    """Replace spans; of overlapping spans only the replacement of the first is inserted."""
    parts, at = [], 0
    for start, end, words in sorted(spans):
        if start >= at:
            parts += [text[at:start], words]
        at = max(at, end)
    return "".join([*parts, text[at:]])


def _lower(text: str) -> str:
    """Convert to lowercase without changing the position of any character."""
    lower = text.lower()
    return lower if len(lower) == len(text) else text.translate(_SMALL)


_SMALL: Mapping[int, int] = {
    ord(letter): ord(letter.lower()) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
}


class RedactingFormatter(logging.Formatter):
    """Formats log records and tracebacks with secrets hidden."""

    def format(self, record: logging.LogRecord) -> str:
        """Format `record` as `logging.Formatter` does, with secrets hidden."""
        return redact(super().format(record))


def redact_tracebacks() -> None:
    """Install an exception hook that hides secrets in tracebacks of uncaught exceptions."""

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        print(
            redact("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr, end=""
        )

    sys.excepthook = show
