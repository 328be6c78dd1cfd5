"""What the commands beside `ecgexp` share: a bad argument is answered in one line."""

import argparse
from typing import NoReturn

BAD_ARGUMENT = 2


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that refuses without repeating how it is used."""

    def error(self, message: str) -> NoReturn:
        """Says what is wrong, and ends with 2."""
        self.exit(BAD_ARGUMENT, f"{self.prog}: {message}\n")
