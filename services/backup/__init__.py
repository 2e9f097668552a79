"""Backup and restore of the services' schemas, by PostgreSQL's own programs."""
