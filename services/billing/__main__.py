"""python -m services.billing: one replica of the billing service."""

import sys

from services.billing.app import define
from services.billing.config import BillingSettings
from shared.runtime.process import main

if __name__ == "__main__":
    sys.exit(main(BillingSettings, define))
