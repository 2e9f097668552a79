"""The renewal saga as a pure state machine: one per subscription and period.

`moves` says what is to be done next, `changes` what an event makes of the saga. Both are functions
of values and an instant; whoever asks them holds the rows' locks and obeys.
"""

from services.billing.saga.changes import after
from services.billing.saga.moves import next_move

__all__ = ["after", "next_move"]
