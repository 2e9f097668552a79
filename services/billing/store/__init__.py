"""Every SQL statement of the billing service, one method each."""
