"""python -m services.maintenance: one replica of the maintenance service."""

import sys

from services.maintenance.app import define
from services.maintenance.config import MaintenanceSettings
from shared.runtime.process import main

if __name__ == "__main__":
    sys.exit(main(MaintenanceSettings, define))
