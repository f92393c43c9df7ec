"""`python -m opswatch.cli`: the terminal without its script."""

import sys

from opswatch.cli import main

if __name__ == "__main__":
    sys.exit(main())
