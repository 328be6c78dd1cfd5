"""The first line of a command that runs something, which says that it starts."""

import re

_LATE = re.compile(rb"ecgexp-\S+ \d+\.\d+\.\d+\S* (\||\xc2\xb7) process \d+\r?\n")
_START = re.compile(r"ecgexp \d+\.\d+\.\d+\S* · process \d+\n")


def after_start(stderr):
    """What the command wrote after its first line, which must be there."""
    found = _START.match(stderr)
    assert found is not None, stderr
    return stderr[found.end() :]


def without_start(stderr):
    """What an `ecgexp-*` command wrote without that line, which only a slow one writes."""
    return _LATE.sub(b"", stderr, count=1)
