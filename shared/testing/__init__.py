"""For tests and workflow authors: servers, twins of the adapters, clocks and faults."""
