"""The mark of a debug run, which only tries a configuration: a tag, and a key of its result."""

DEBUG = "debug"
"""Name of the tag and of the key; its value is the preset."""


def meaningless(preset: str) -> str:
    """Return what lists, reports and the run itself say of a debug run.

    Args:
      preset: its preset.

    Example:
      >>> meaningless("smoke")
      'debug=smoke: scores mean nothing'
    """
    return f"debug={preset}: scores mean nothing"
