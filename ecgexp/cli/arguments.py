"""What the commands beside `ecgexp` share: a bad argument is answered in one line."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

BAD_ARGUMENT = 2
_LONGEST = 40  # characters of a value, in a message


def whole(least: int, most: int) -> Callable[[str], int]:
    """A type of arguments: whole numbers from `least` to `most`."""

    def parse(text: str) -> int:
        shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
        number = int(text) if text.isdecimal() and len(text) <= _LONGEST else -1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(
                f"{shown!r} is not a whole number from {least} to {most}"
            )
        return number

    return parse


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that refuses without repeating how it is used, and takes each option once.

    Of an option that is given twice argparse takes the last one, without a word.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        for name in (None, "store"):
            self.register("action", name, _StoreOnce)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's; each call counts anew."""
        for action in self._actions:
            if isinstance(action, _StoreOnce):
                action.given = None
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Says what is wrong, and ends with 2."""
        self.exit(BAD_ARGUMENT, f"{self.prog}: {message}\n")


class _StoreOnce(argparse.Action):
    """Keeps the value of an option, and refuses a second one."""

    given: Any = None

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if option_string is not None:
            if self.given is not None:
                parser.error(
                    f"{option_string} {_shown(values)}: it is given twice, first as {_shown(self.given)}; give it once"
                )
            self.given = values
        setattr(namespace, self.dest, values)


def _shown(values: Any) -> str:
    return (
        " ".join(map(str, values))
        if isinstance(values, Sequence) and not isinstance(values, str)
        else str(values)
    )
