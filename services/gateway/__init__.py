"""The gateway: the HTTP side of the system, without a database.

Owns nothing but the moment at which a start is accepted: it creates the status key that decides
which of several requests started an instance.
Publishes `workflows.<kind>.start`.
Asks `commands.player.*`, `queries.player.*` and `queries.<service>.instance`.
Reads the bucket `workflow-status`.
"""
