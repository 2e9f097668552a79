"""How a delivery ends: one function each, and no other place settles one."""

from __future__ import annotations

from datetime import timedelta

import structlog

from shared.messages import subjects
from shared.messages.workflows import Action, ErrorInfo, Status
from shared.workflow.after_commit import AfterCommit
from shared.workflow.children import refusal_of
from shared.workflow.commands import Command, parent_of
from shared.workflow.endings import pause_for_mismatch
from shared.workflow.errors import JournalMismatch, RetryLater, Undecodable
from shared.workflow.execution import Execution
from shared.workflow.inbox import stray_letter
from shared.workflow.ports import Clock, Delivery, InstanceStore
from shared.workflow.records import DeadLetter, InboxMessage, InstanceKey, Refusal
from shared.workflow.settings import EngineSettings

log = structlog.get_logger()


class Outcomes:
    """Each returns its name."""

    def __init__(
        self,
        store: InstanceStore,
        after_commit: AfterCommit,
        clock: Clock,
        settings: EngineSettings,
    ):
        self._store = store
        self._after_commit = after_commit
        self._clock = clock
        self._settings = settings

    async def settled(self, delivery: Delivery, execution: Execution) -> str:
        """All is committed, published and shown: ended, or waiting for what `due_at` or the inbox
        brings."""
        instance = execution.instance
        status = instance.status
        if status.ended and execution.inbox.may_hold:
            await self._store.bury_stray(instance.key)
        if status.ended and instance.parent is not None:
            # Its notice lies in the inbox already; this only spares the parent the wait for it.
            await self._after_commit.wake(instance.parent.key)
        await delivery.ack()
        return status.value if status.ended or status is Status.PAUSED else "parked"

    async def retry(self, delivery: Delivery, later: RetryLater) -> str:
        """A step failed: this message comes again when its next attempt is due."""
        # A little late rather than early, when it would meet an instance that is not due.
        await delivery.nak(later.delay_seconds + 0.02)
        return "retry"

    async def early(self, delivery: Delivery) -> str:
        """A wake before its time: nothing happened."""
        await delivery.ack()
        return "early"

    async def lost_claim(self) -> str:
        """Another worker owns the instance: an ack, nak or term would count for it (rule 3)."""
        log.info("claim_lost")
        return "lost_claim"

    async def dropped(self, delivery: Delivery, reason: str) -> str:
        """Trouble that is no attempt: the message comes again soon and the journal is replayed."""
        log.warning("run_dropped", reason=reason)
        await delivery.nak(_again_seconds(delivery))
        return "dropped"

    async def undecodable(self, delivery: Delivery, detail: str) -> str:
        """What is no command goes to the dead letters with the reason."""
        log.warning("message_undecodable", subject=delivery.subject, detail=detail)
        await self.bury(delivery, "undecodable", detail)
        await self._tell_parent(delivery, ErrorInfo(name="undecodable", message=detail))
        await delivery.term("undecodable")
        return "undecodable"

    async def hopeless(self, delivery: Delivery, command: Command) -> str:
        """Met errors of ours each time: a start goes to the dead letters, due_at wakes again."""
        if command.start is not None:
            detail = "an unexpected error in too many deliveries"
            await self.bury(delivery, "poisoned", detail)
            if await self._store.load(command.key) is None:
                await self._tell_parent(delivery, ErrorInfo(name="poisoned", message=detail))
        await delivery.term("poisoned")
        return "poisoned"

    async def refused(self, delivery: Delivery, command: Command, refusal: Refusal) -> str:
        """The claim was not granted."""
        reason = refusal.reason
        if command.message is not None:
            return await self._refused_message(delivery, command, refusal)
        if reason in {"busy", "leased"} and not self._superfluous(delivery, command):
            # The virtual clock waits with it, also for an owner who is soon done.
            longest_seconds = _again_seconds(delivery) if self._clock.is_virtual else 30.0
            await delivery.nak(min(refusal.retry_seconds or 0.25, longest_seconds))
            return reason
        if reason == "ended":
            await self._store.bury_stray(command.key)
        if reason in {"parked", "paused", "ended"}:
            # Whoever committed that may have died right after.
            await self._after_commit.tell_again(command.key)
        if command.is_foreign(refusal.parent):
            return await self.exists(delivery, command)
        await delivery.ack()
        return reason

    async def exists(self, delivery: Delivery, command: Command) -> str:
        """A child's start met an instance that is somebody else's: its parent is told."""
        error = ErrorInfo(name="child_exists", message=f"{command.key} was there before")
        await self._tell_parent(delivery, error)
        await delivery.ack()
        return "exists"

    async def _refused_message(self, delivery: Delivery, command: Command, refusal: Refusal) -> str:
        """It lies in the inbox. While another transaction holds the instance nobody knows whether
        that one has seen it; an owner between two transactions will. Where it opens no door, it
        has been read already or has to wait."""
        reason = refusal.reason
        if reason == "leased" and command.message and command.message.type == Action.PAUSE:
            await self._after_commit.tell_pausing(command.key)
        if reason == "busy" or refusal.held:
            await delivery.nak(_again_seconds(delivery))
            return "busy"
        if reason == "ended":
            await self._store.bury_stray(command.key)
            await self._after_commit.tell_again(command.key)
        await delivery.ack()
        return reason

    async def _tell_parent(self, delivery: Delivery, error: ErrorInfo) -> None:
        """A parent never waits for a child that cannot begin (rule 24)."""
        kind, _, _ = subjects.parts(delivery.subject)
        child = InstanceKey(kind, delivery.headers.get(subjects.WORKFLOW_ID, ""))
        try:
            parent = parent_of(delivery.headers)
        except Undecodable:
            return
        if parent is not None:
            notice = refusal_of(child, parent, error, self._clock.now())
            await self._store.keep(notice.to, [notice.message])
            await self._after_commit.wake(parent.key)

    async def crowded(self, delivery: Delivery, command: Command) -> str:
        """What is to run alone has not got the process to itself: another one may have room, or
        this one later."""
        log.warning("process_crowded")
        if self._superfluous(delivery, command):
            await delivery.ack()
        else:
            await delivery.nak(self._settings.longest_nak_seconds)
        return "crowded"

    async def mismatched(
        self, delivery: Delivery, execution: Execution, mismatch: JournalMismatch
    ) -> str:
        """Another build wrote the journal: paused, and looked at again later (rule 22)."""
        log.error("journal_mismatch", expected=mismatch.expected, found=mismatch.found)
        await pause_for_mismatch(
            execution,
            ErrorInfo(name="journal_mismatch", message=str(mismatch), step=mismatch.found),
            self._clock.now() + timedelta(seconds=self._settings.longest_nak_seconds),
        )
        await delivery.ack()
        return "mismatched"

    async def refuse_control(self, key: InstanceKey, message: InboxMessage, why: str) -> None:
        """A restart from a step that cannot be is not carried out."""
        log.warning("restart_refused", reason=why)
        letter = stray_letter(key, message, why)
        if letter is not None:
            await self._store.bury(letter)

    async def bury(self, delivery: Delivery, reason: str, detail: str) -> None:
        """Keeps the message with the dead letters; settling it is the caller's."""
        await self._store.bury(
            DeadLetter(
                origin=delivery.origin,
                subject=delivery.subject,
                headers=dict(delivery.headers),
                body=delivery.body,
                reason=reason,
                detail=detail,
                at=self._clock.now(),
            )
        )

    def _superfluous(self, delivery: Delivery, command: Command) -> bool:
        """Whether a wake has been given back so often that due_at, which brings another, will do;
        else those of one long step would gather and all come again four times a second."""
        return command.start is None and delivery.attempt >= self._settings.poison_claims


def _again_seconds(delivery: Delivery) -> float:
    """Soon at first; later and later where a long step holds the instance or trouble lasts."""
    return min(5.0, 0.25 * 2.0 ** min(delivery.attempt - 1, 5))
