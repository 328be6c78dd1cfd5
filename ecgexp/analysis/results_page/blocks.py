"""Parts of a Markdown page that are written by a program, between two comments that a reader does not see."""

import re
from collections.abc import Mapping

from ecgexp.settings.declaration import DataError

_BLOCK = (
    "<!-- results {name}: written by scripts/results.py -->\n{body}\n<!-- end of results {name} -->"
)


def replace_blocks(page: str, bodies: Mapping[str, str]) -> str:
    """The page with each block's body replaced.

    Args:
      page: has each of the blocks once.
      bodies: name of the block -> Markdown.

    Raises:
      DataError: the page lacks a block or has it twice.
    """
    for name, body in bodies.items():
        block = _BLOCK.format(name=name, body=body.strip("\n"))
        begin, _, end = (
            re.escape(line) for line in _BLOCK.format(name=name, body="…").splitlines()
        )
        page, count = re.subn(
            f"{begin}\n.*?\n?{end}", lambda _, block=block: block, page, flags=re.DOTALL
        )
        if count != 1:
            raise DataError(
                f"the page has {count} blocks {name}; it needs one:\n{_BLOCK.format(name=name, body='')}"
            )
    return page
