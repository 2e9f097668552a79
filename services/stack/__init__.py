"""Everything on one machine: NATS, PostgreSQL and each service as a process of its own."""
