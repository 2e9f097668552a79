"""Players: their progress, rewards, achievements, sessions and messages.

Owns the schema `player`. Takes `workflows.player.start`, `ingest.player.*`, `commands.player.*` and
`queries.player.*`; publishes `events.player.*`. It computes all balances: nobody sends it one.
"""
