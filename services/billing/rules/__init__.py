"""Pure functions of values and an instant: what is owed, when, and what is told."""
