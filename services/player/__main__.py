"""python -m services.player: one replica of the player service."""

import sys

from services.player.app import SERVICE
from shared.runtime.service import main

if __name__ == "__main__":
    sys.exit(main(SERVICE))
