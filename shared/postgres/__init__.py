"""Adapters over PostgreSQL: the journal, the outbox and migrations."""
