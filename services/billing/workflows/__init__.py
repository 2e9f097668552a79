"""The workflows that the billing service runs."""
