"""`ecgexp-fetch` of this checkout: download a database from PhysioNet and verify it."""

import sys

from ecgexp.cli.fetch import main

if __name__ == "__main__":
    sys.exit(main())
