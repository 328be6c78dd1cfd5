"""Generated parts of a file, between two lines that mark them."""

from ecgexp.settings.declaration import DataError

MARKDOWN = ("<!-- results:begin -->", "<!-- results:end -->")
YAML = ("# results:begin, written by scripts/results_page.py", "# results:end")


def replace_block(text: str, body: str, *, marks: tuple[str, str], name: str) -> str:
    """Return `text` with the lines between the marks replaced.

    Args:
      text: a text that has each mark once, as a line.
      body: the new lines.
      marks: the first and the last line of the block, which stay.
      name: name of the file, for messages.

    Raises:
      DataError: a mark is missing or is there twice.
    """
    lines = text.split("\n")
    begin, end = ([i for i, line in enumerate(lines) if line == mark] for mark in marks)
    if len(begin) != 1 or len(end) != 1 or begin[0] > end[0]:
        raise DataError(
            f"{name}: it needs the line {marks[0]!r} once and, below it, the line {marks[1]!r} "
            "once; put them where the results belong"
        )
    return "\n".join([*lines[: begin[0] + 1], *body.strip("\n").split("\n"), *lines[end[0] :]])
