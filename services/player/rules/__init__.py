"""What the player service decides, as pure functions of values and an instant."""
