"""The HTTP addresses, one file a resource."""
