"""The first line of a command that runs something, which says that it starts."""

import re

_START = re.compile(r"ecgexp \d+\.\d+\.\d+\S* · process \d+\n")


def after_start(stderr):
    """What the command wrote after its first line, which must be there."""
    found = _START.match(stderr)
    assert found is not None, stderr
    return stderr[found.end() :]
