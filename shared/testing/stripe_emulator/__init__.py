"""A stand-in for Stripe: as much of its HTTP API as an adapter for charges and refunds uses."""
