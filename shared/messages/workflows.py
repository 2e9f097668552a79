"""Triggers, the commands that carry them, and the status document of an instance."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Literal
from uuid import UUID

import msgspec

from shared.messages.base import Message, WorkflowId


class Signal(Message, frozen=True, kw_only=True):
    """A message to a running instance; a subclass says its type on the wire and its content."""

    type: ClassVar[str]
    is_wake: ClassVar[bool] = False
    """Whether it only has the instance look again: one that has ended meanwhile misses nothing, and
    none of it becomes a dead letter."""


def _null() -> msgspec.Raw:
    # As a factory, since a default of this type has no place in a JSON Schema.
    return msgspec.Raw(b"null")


def _no_content() -> msgspec.Raw:
    return msgspec.Raw(b"{}")


class Trigger(Message, frozen=True, kw_only=True):
    """What starts an instance; a subclass names its kind, the service that runs it, its input."""

    kind: ClassVar[str]
    service: ClassVar[str]
    signals: ClassVar[tuple[type[Signal], ...]] = ()
    """What the workflow can wait for; anything else is refused."""

    id: WorkflowId | None = None
    start_at: datetime | None = None
    """Not run before this instant of business time; must carry a UTC offset."""
    trigger_time: datetime | None = None
    """When the caller decided to start it: recorded, never used as the clock."""

    def __post_init__(self) -> None:
        for name in ("start_at", "trigger_time"):
            instant: datetime | None = getattr(self, name)
            if instant is not None and instant.tzinfo is None:
                wire_name = {"start_at": "startAt", "trigger_time": "triggerTime"}[name]
                raise ValueError(f"`{wire_name}` needs a UTC offset, as in 2026-03-01T08:00:00Z")


class StartPlayer(Trigger, frozen=True, kw_only=True):
    """Brings one player up to date: daily reward, levels, achievements, statistics, cleanup."""

    kind = "player"
    service = "player"

    player_id: UUID


class StartCustomer(Trigger, frozen=True, kw_only=True):
    """Does what is due for one customer: renewals, notices, the provider's data, usage."""

    kind = "customer"
    service = "billing"

    customer_id: UUID


class RenewalChanged(Signal, frozen=True, kw_only=True):
    """Something happened to the renewal's subscription: it looks there what is to be done."""

    type = "renewal_changed"
    is_wake = True


class StartRenewal(Trigger, frozen=True, kw_only=True):
    """Collects the payment of one period of a subscription, and gives the period for it."""

    kind = "renewal"
    service = "billing"
    signals = (RenewalChanged,)

    subscription_id: UUID
    period_start: datetime
    """Of the period to be paid for, which is the end of the one before; with a UTC offset."""


class StartPaymentRetry(Trigger, frozen=True, kw_only=True):
    """Has the open invoice of a subscription charged at once."""

    kind = "payment_retry"
    service = "billing"

    subscription_id: UUID
    by: Literal["customer", "admin"] = "customer"


class StartSubscriptionCleanup(Trigger, frozen=True, kw_only=True):
    """Deletes what need not be kept of a subscription that was canceled at this instant."""

    kind = "subscription_cleanup"
    service = "billing"

    subscription_id: UUID
    canceled_at: datetime


class StartBillingSweep(Trigger, frozen=True, kw_only=True):
    """Starts a run of every customer for whom something is due."""

    kind = "billing_sweep"
    service = "billing"


class StartSystem(Trigger, frozen=True, kw_only=True):
    """Keeps the system in order: retention, archives, caches, health, analytics."""

    kind = "system"
    service = "maintenance"


class OfPerson(Trigger, frozen=True, kw_only=True):
    """Names a person by what each service knows them by; at least one id."""

    player_id: UUID | None = None
    customer_id: UUID | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.player_id is None and self.customer_id is None:
            raise ValueError("name the person: give `playerId`, `customerId` or both")


class StartPersonExport(OfPerson, frozen=True, kw_only=True):
    """Gathers all that the services have about a person into one document."""

    kind = "person_export"
    service = "maintenance"


class StartPersonErasure(OfPerson, frozen=True, kw_only=True):
    """Erases a person from all services for good; the books stay, under ids that lead nowhere."""

    kind = "person_erasure"
    service = "maintenance"

    again: bool = False
    """After a restore: who is not there any more, is no error."""


TRIGGERS: dict[str, type[Trigger]] = {
    trigger.kind: trigger
    for trigger in (
        StartPlayer,
        StartCustomer,
        StartRenewal,
        StartPaymentRetry,
        StartSubscriptionCleanup,
        StartBillingSweep,
        StartSystem,
        StartPersonExport,
        StartPersonErasure,
    )
}
"""Every kind that can be started; the gateway's routes and the streams follow from it."""


class Wake(Message, frozen=True, kw_only=True):
    """Has an unfinished instance looked at; carries no meaning of its own (engine rule 2)."""

    id: WorkflowId


SIGNAL_TYPE_PATTERN = r"^[^.\s]{1,100}$(?!\n)"

SignalType = Annotated[str, msgspec.Meta(pattern=SIGNAL_TYPE_PATTERN)]


class SignalCommand(Message, frozen=True, kw_only=True):
    """A signal as it travels, on the subject of its instance."""

    type: SignalType
    payload: msgspec.Raw = msgspec.field(default_factory=_no_content)
    id: WorkflowId | None = None
    """The sender's own id of it: the same one again changes nothing. Else Nats-Msg-Id is."""


class Action(StrEnum):
    """What a control asks for."""

    PAUSE = "pause"
    RESUME = "resume"
    TERMINATE = "terminate"
    RESTART = "restart"


class ControlCommand(Message, frozen=True, kw_only=True):
    """A request to an instance, obeyed at its next boundary (engine rule 14)."""

    id: WorkflowId
    action: Action
    rollback: bool = False
    """Of terminate: undo what is done first."""
    from_step: str | None = None
    """Of restart: keep what was done before this step."""


class Status(StrEnum):
    """Status of an instance, in Cloudflare Workflows' own words."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    ERRORED = "errored"
    TERMINATED = "terminated"
    COMPLETE = "complete"
    WAITING = "waiting"
    WAITING_FOR_PAUSE = "waitingForPause"
    UNKNOWN = "unknown"

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more, but for a restart."""
        return self in {Status.ERRORED, Status.TERMINATED, Status.COMPLETE}


class ErrorInfo(Message, frozen=True, kw_only=True):
    """Why a step or an instance failed."""

    name: str
    message: str
    step: str | None = None


class ChildOutcome(Message, frozen=True, kw_only=True):
    """How a child ended, as its parent is told."""

    status: Status
    output: msgspec.Raw = msgspec.field(default_factory=_null)
    error: ErrorInfo | None = None


class StepStatus(Message, frozen=True, kw_only=True):
    """One operation as a caller sees it; `status` is complete, skipped, failed, unknown, retrying,
    calling, sleeping, waiting or started."""

    name: str
    type: str = "step"
    """step, call, sleep, signal, child, result, parallel or compensation."""
    status: str
    attempts: int
    started_at: datetime
    finished_at: datetime | None = None
    error: ErrorInfo | None = None


class WorkflowStatus(Message, frozen=True, kw_only=True):
    """Where an instance stands, as `GET /api/workflows/{id}` shows it."""

    workflow_id: str
    kind: str
    status: Status
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    completed_steps: tuple[str, ...] = ()
    errors: tuple[ErrorInfo, ...] = ()
    steps: tuple[StepStatus, ...] = ()
    output: msgspec.Raw = msgspec.field(default_factory=_null)
    output_omitted: bool = False
    """The output is too large for the status document (engine rule 30), or no longer kept (17)."""
    error: ErrorInfo | None = None
    wake_at: datetime | None = None
    rollback: str | None = None


class StatusDocument(WorkflowStatus, frozen=True, kw_only=True):
    """What the status bucket holds: the public status, and what decides between two of them."""

    generation: int = 0
    version: int = 0
    stage: int = 0
    """1 for what is shown between two commits: that a pause waits for what is in flight."""
    body_hash: str | None = None
    idempotency_key: str | None = None
    actor: str | None = None

    @property
    def order(self) -> tuple[int, int, int]:
        """Grows with every commit; a put needs a greater one than is stored (engine rule 25)."""
        return (self.generation, self.version, self.stage)


class Accepted(Message, frozen=True, kw_only=True):
    """Answer to a start."""

    workflow_id: str


class BatchAccepted(Message, frozen=True, kw_only=True):
    """Answer to a batch of starts."""

    workflow_ids: tuple[str, ...]
    skipped: tuple[str, ...]
    """Ids that existed before; those instances are as they were."""


class InstanceQuery(Message, frozen=True, kw_only=True):
    """Asks a service for an instance by its key."""

    kind: str
    id: WorkflowId
