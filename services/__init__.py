"""The services, one folder each; they never import one another."""
