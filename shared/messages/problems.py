"""Problem documents (RFC 9457): every error, over HTTP and over request/reply."""

from __future__ import annotations

from shared.messages.base import Message


class Problem(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was refused, and what to change."""

    code: str
    """Stable word for programs, such as `player_not_found`; also the last part of `type`."""
    title: str
    status: int
    detail: str
    field: str | None = None
    type: str = "about:blank"
    instance: str | None = None
    workflow_id: str | None = None


class Refused(Exception):
    """A request that cannot be carried out as it is; nothing was changed."""

    def __init__(self, code: str, detail: str, *, status: int = 422, field: str | None = None):
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.status = status
        self.field = field

    def problem(self) -> Problem:
        """The document that tells the caller."""
        return Problem(
            code=self.code,
            title=self.code.replace("_", " ").capitalize(),
            status=self.status,
            detail=self.detail,
            field=self.field,
        )
