"""Which scope each address needs."""

from __future__ import annotations

from shared.messages.workflows import Action

KIND = "{kind}"
"""Stands in a scope for the kind of the instance, which the handler asks for where the address
does not tell it."""

RESOURCES = {
    "players": "players",
    "sessions": "players",
    "achievements": "achievements",
    "customers": "billing",
    "plans": "billing",
    "subscriptions": "billing",
    "invoices": "billing",
    "usage": "billing",
    "billing": "billing",
    "schedules": "schedules",
    "notices": "notices",
    "dead-letters": "dead-letters",
    "caches": "caches",
    "health": "health",
    "analytics": "analytics",
    "invariants": "invariants",
    "retention": "retention",
    "persons": "persons",
    "keys": "keys",
}
"""By the first part of the address after `/api`: read for a GET, else write."""

OWN = {
    ("POST", "/api/players/{playerId}/grants"): "players:grant",
    ("POST", "/api/players/{playerId}/revocations"): "players:grant",
    ("POST", "/api/invoices/{invoiceId}/refund"): "billing:refund",
    ("POST", "/api/invoices/{invoiceId}/resolve"): "billing:refund",
    ("POST", "/api/workflows/{kind}"): f"{KIND}:start",
    ("POST", "/api/workflows/{kind}/batch"): f"{KIND}:start",
    ("GET", "/api/workflows"): f"{KIND}:read",
    ("GET", "/api/workflows/{id}"): f"{KIND}:read",
    ("POST", "/api/workflows/{id}/{action}"): f"{KIND}:{{action}}",
    ("POST", "/api/workflows/{id}/signals/{type}"): f"{KIND}:signal",
}
"""Addresses that need another one."""

ACTIONS_ON_KINDS = ("start", "read", "signal", *(action.value for action in Action))


def scope_of(method: str, path: str) -> str | None:
    """What a route needs, by its path with names in braces; None: `*`, for none is known."""
    method = "GET" if method == "HEAD" else method
    own = OWN.get((method, path))
    if own is not None:
        return own
    _, api, name, *_ = [*path.split("/"), "", "", ""]
    resource = RESOURCES.get(name) if api == "api" else None
    return None if resource is None else f"{resource}:{'read' if method == 'GET' else 'write'}"
