"""``python -m engine`` and the console script ``tailbound``."""

import sys

from engine.app import main

if __name__ == "__main__":
    sys.exit(main())
