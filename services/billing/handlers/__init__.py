"""What the billing service answers and takes besides workflows."""
