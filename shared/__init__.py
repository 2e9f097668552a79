"""What the services have in common: the contract, the engine, its adapters and its run time."""
