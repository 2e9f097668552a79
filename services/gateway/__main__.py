"""`python -m services.gateway`: the process, until SIGTERM or SIGINT."""

from __future__ import annotations

import sys

from services.gateway.app import main

if __name__ == "__main__":
    sys.exit(main())
