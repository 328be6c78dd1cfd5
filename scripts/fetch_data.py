"""`ecgexp-fetch` of this checkout: download a database from PhysioNet and verify it."""

import sys

from ecgexp.cli import fetch
from ecgexp.cli.streams import command


@command
def main() -> int:
    return fetch.main()


if __name__ == "__main__":
    sys.exit(main())
