"""The public contract: what travels over NATS and HTTP, as msgspec Structs and subject names."""
