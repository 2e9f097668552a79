"""The description of the API and of the contract on NATS, made from what the code declares."""
