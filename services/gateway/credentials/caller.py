"""A caller, as the credential shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared.messages.problems import Refused

EVERYTHING = "*"


@dataclass(frozen=True)
class Caller:
    """Who a request is from."""

    actor: str
    """`key:<id>` or `jwt:<sub>`; the journal keeps it."""
    scopes: frozenset[str]
    rate_per_second: float | None = None
    """None: as the gateway's setting has it."""

    def may(self, scope: str) -> bool:
        """Whether a scope, such as `player:start`, is among its own or covered by one."""
        what, _, _ = scope.partition(":")
        return not self.scopes.isdisjoint({scope, f"{what}:{EVERYTHING}", EVERYTHING})

    def require(self, scope: str) -> None:
        """Raises Refused with 403, naming the scope, where it is missing."""
        if not self.may(scope):
            raise Refused("forbidden", f"this needs the scope {scope!r}", status=403)

    def among(self, kinds: Iterable[str], *actions: str) -> list[str]:
        """Those kinds of workflows that it may do any of these actions to."""
        return [kind for kind in kinds if any(self.may(f"{kind}:{action}") for action in actions)]


class Unauthorized(Refused):
    """No credential, or none that lets anybody in."""

    def __init__(self, detail: str = "send the header `Authorization: Bearer <API key or JWT>`"):
        super().__init__("unauthorized", detail, status=401)


class Undecided(Refused):
    """Whether a credential is good cannot be found out now."""

    def __init__(self, detail: str):
        super().__init__("credentials_unavailable", detail, status=503)
