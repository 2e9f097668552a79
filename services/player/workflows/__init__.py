"""The workflows that the player service runs."""
