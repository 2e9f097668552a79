"""A double of the world that calls reach: it keeps its own books, by idempotency key."""

from __future__ import annotations

from collections import Counter
from typing import Any, Generic, NamedTuple, TypeVar

from shared.workflow.call import NOT_FOUND, UNKNOWN, Call, NotFound, Unknown
from shared.workflow.errors import NotSent

T = TypeVar("T")


class _Trouble(NamedTuple):
    """What becomes of a request."""

    arrives: bool
    error: Exception


class OutsideWorld(Generic[T]):
    """Carries out what calls ask for, once a key however often it is asked, and can be unwell.

    A stand-in for a client derives from it, or has one; `T` is what a call is answered.
    """

    def __init__(self) -> None:
        self.books: dict[str, T] = {}
        """What was carried out, as it was answered, by idempotency key."""
        self.asked: Counter[str] = Counter()
        """Requests by key, those that did not arrive included."""
        self.looked_up: Counter[str] = Counter()
        """Look-ups by key."""
        self.undone: dict[str, T | None] = {}
        """What was taken back, by the undoing call's key; None where its caller knew no more."""
        self.is_silent = False
        """Whether look-ups cannot tell."""
        self._troubles: list[_Trouble] = []

    @property
    def carried_out(self) -> list[T]:
        """What was carried out, in order."""
        return list(self.books.values())

    # -- what a stand-in answers with -----------------------------------------------------------

    async def carry_out(self, call: Call, answer: T) -> T:
        """Does it and answers so; a known key is answered as the first time."""
        self.asked[call.idempotency_key] += 1
        trouble = self._troubles.pop(0) if self._troubles else None
        if trouble is None or trouble.arrives:
            self.books.setdefault(call.idempotency_key, answer)
        if trouble is not None:
            raise trouble.error
        return self.books[call.idempotency_key]

    async def look_up(self, call: Call, *_: Any) -> T | NotFound | Unknown:
        """What became of a call."""
        self.looked_up[call.idempotency_key] += 1
        if self.is_silent:
            return UNKNOWN
        return self.books.get(call.idempotency_key, NOT_FOUND)

    async def undo(self, call: Call, answer: T | None) -> None:
        """Takes back what was answered so; once a key."""
        self.undone.setdefault(call.idempotency_key, answer)

    # -- what goes wrong ------------------------------------------------------------------------

    def lose_requests(self, times: int = 1) -> None:
        """The next requests never arrive, and the caller cannot tell: it sees a time-out."""
        self._troubles += [_Trouble(False, TimeoutError("no answer"))] * times

    def lose_answers(self, times: int = 1) -> None:
        """The next requests are carried out, and the caller sees a time-out."""
        self._troubles += [_Trouble(True, TimeoutError("no answer"))] * times

    def be_away(self, times: int = 1) -> None:
        """The next requests certainly do not arrive: the caller raises NotSent."""
        self._troubles += [_Trouble(False, NotSent("no connection"))] * times

    def refuse(self, error: Exception, times: int = 1) -> None:
        """The next requests are answered by an error, and nothing is done."""
        self._troubles += [_Trouble(False, error)] * times
