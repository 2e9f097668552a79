"""The system's own upkeep: retention, archives, caches, health, analytics, invariants, persons.

Owns the schema `maintenance`. Takes `workflows.system.start`, `commands.maintenance.*`,
`queries.maintenance.*` and the facts of all services, `events.*.*`. It touches no other service's
tables: it asks the owners over `commands.` and `queries.`.
"""
