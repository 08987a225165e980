"""``python -m microtensor`` does what the command ``microtensor`` does."""

import sys

from microtensor.cli import main

if __name__ == "__main__":
    sys.exit(main())
