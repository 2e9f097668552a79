"""The engine: durable workflows as plain async functions, with no I/O and no clock of its own."""
