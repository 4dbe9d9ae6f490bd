"""``python -m resemblance`` is the command line."""

from __future__ import annotations

import sys

from resemblance.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
