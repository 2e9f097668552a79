"""What fields of billing's messages may hold."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from shared.messages.values import NO_NUL

PlanId = Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,64}\Z")]
Currency = Annotated[str, Meta(pattern=NO_NUL, max_length=16)]
"""A code of ISO 4217 such as EUR; another one is refused by name."""
Decimal = Annotated[str, Meta(pattern=NO_NUL, max_length=40)]
"""An amount in the currency's own unit, such as 9.99."""
PaymentMethod = Annotated[str, Meta(pattern=r"^[!-~]{1,200}\Z")]
"""The provider's own name of it, such as `pm_card_visa`; never the number of a card."""
Quantity = Annotated[int, Meta(ge=0, le=10**15)]
"""Of use. A bigint holds the sum of nine thousand of the largest."""
TrialDays = Annotated[int, Meta(ge=0, le=730)]
ProviderName = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,64}\Z")]

Interval = Literal["month", "year"]
Metric = Literal["api_calls", "storage_bytes"]
Payer = Literal["customer", "admin"]
Resolution = Literal["won", "lost", "charge"]
