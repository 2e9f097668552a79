"""Pure rules of maintenance."""
