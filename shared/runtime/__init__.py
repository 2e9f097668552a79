"""A service's life: configuration, clocks, logging, health, consumers, relay and timekeeper."""
