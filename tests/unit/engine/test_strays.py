"""What becomes of a signal that nobody will read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.messages.workflows import RenewalChanged, StartRenewal
from shared.workflow.inbox import stray_letter
from shared.workflow.records import InboxMessage, InstanceKey, StreamPosition

EPOCH = datetime(2026, 3, 1, tzinfo=UTC)
RENEWAL = InstanceKey(StartRenewal.kind, "renewal-1")


def signal(signal_type: str) -> InboxMessage:
    return InboxMessage(
        message_id="1",
        position=StreamPosition(EPOCH.isoformat(), 1),
        category="signal",
        type=signal_type,
        payload=b"{}",
        created_at=EPOCH,
    )


@pytest.mark.rule("engine-12")
def test_a_wake_of_what_has_ended_is_no_dead_letter() -> None:
    assert stray_letter(RENEWAL, signal(RenewalChanged.type), "workflow_ended") is None


@pytest.mark.rule("engine-12")
def test_a_wake_of_what_never_came_and_any_other_signal_are_dead_letters() -> None:
    for signal_type, reason in (
        (RenewalChanged.type, "workflow_not_found"),
        ("word", "workflow_ended"),
    ):
        letter = stray_letter(RENEWAL, signal(signal_type), reason)
        assert letter is not None
        assert letter.reason == reason
