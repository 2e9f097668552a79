"""python -m services.player: one replica of the player service."""

import sys

from services.player.app import define
from services.player.config import PlayerSettings
from shared.runtime.process import main

if __name__ == "__main__":
    sys.exit(main(PlayerSettings, define))
