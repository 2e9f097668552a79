"""Commands and queries that maintenance answers."""
