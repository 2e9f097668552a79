"""What controls do together: every sequence of three, on an instance in every state."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import permutations, product
from typing import NamedTuple

import msgspec
import pytest
from msgspec.structs import replace

from shared.messages.base import encode
from shared.messages.workflows import Action, ControlCommand, ErrorInfo, Status
from shared.workflow.controls import POISONED, Decision, decide
from shared.workflow.records import InboxMessage, Instance, InstanceKey, StreamPosition

NOW = datetime(2026, 3, 2, tzinfo=UTC)
CAUSE = ErrorInfo(name="no_room", message="there is no room")


class Asked(NamedTuple):
    """A control, in the words of the tables."""

    action: Action
    rollback: bool = False

    def __str__(self) -> str:
        return f"{self.action} with rollback" if self.rollback else self.action


CONTROLS = [
    Asked(Action.PAUSE),
    Asked(Action.RESUME),
    Asked(Action.TERMINATE),
    Asked(Action.TERMINATE, rollback=True),
    Asked(Action.RESTART),
]


def instance(status: Status, **changes: object) -> Instance:
    fresh = Instance(
        key=InstanceKey("sample", "one"),
        run=1,
        epoch=3,
        generation=1,
        version=5,
        status=status,
        input=b"{}",
        actor=None,
        idempotency_key=None,
        body_hash=None,
        event_sequence=0,
        claims_without_progress=0,
        created_at=NOW,
        updated_at=NOW,
        started_at=NOW,
    )
    return replace(fresh, **changes)


STATES = {
    "waiting": instance(Status.WAITING),
    "running": instance(Status.RUNNING),
    "paused": instance(Status.PAUSED),
    "mismatched": instance(Status.PAUSED, wake_at=NOW, error=CAUSE),
    "complete": instance(Status.COMPLETE),
    "errored": instance(Status.ERRORED, error=CAUSE),
    "poisoned": instance(Status.ERRORED, error=ErrorInfo(name=POISONED, message="too often")),
    "terminated": instance(Status.TERMINATED),
    "compensating": instance(
        Status.RUNNING, rollback="running", ending=Status.ERRORED, error=CAUSE
    ),
    "compensating, paused": instance(
        Status.PAUSED, rollback="running", ending=Status.ERRORED, error=CAUSE
    ),
    "compensated": instance(Status.ERRORED, rollback="complete", error=CAUSE),
}


def control(asked: Asked, sequence: int) -> InboxMessage:
    command = ControlCommand(id="one", action=asked.action, rollback=asked.rollback)
    return InboxMessage(
        seq=100 - sequence,
        message_id=f"2026/{sequence}",
        category="control",
        type=asked.action,
        payload=encode(command),
        position=StreamPosition("2026", sequence),
        created_at=NOW,
    )


class World:
    """An instance with its inbox, whose claims obey as `endings.obey` does."""

    def __init__(self, state: Instance):
        self.instance = replace(state)
        self.unread: list[InboxMessage] = []

    def claim(self) -> None:
        """Obeys until nothing is left to obey now."""
        while (decision := decide(self.instance, self.unread)).acts:
            self.unread = [each for each in self.unread if each.seq not in decision.taken]
            self._obey(decision)

    def _obey(self, decision: Decision) -> None:
        it = self.instance
        it.control, it.restart = decision.control, decision.restart
        match decision.action:
            case Action.PAUSE:
                it.status, it.wake_at = Status.PAUSED, None
            case Action.RESUME:
                it.error = None if it.status.ended else it.error
                it.status, it.wake_at = Status.RUNNING, None
            case Action.TERMINATE if decision.command is not None and decision.command.rollback:
                it.status, it.rollback, it.ending = Status.RUNNING, "running", Status.TERMINATED
            case Action.TERMINATE:
                it.status = Status.TERMINATED
            case Action.RESTART:
                it.status, it.rollback, it.ending, it.error = Status.RUNNING, None, None, None
                it.run += 1
            case None:
                pass

    def finish_compensations(self) -> None:
        """Lets what compensates end, if it may go on."""
        it = self.instance
        if it.rollback == "running" and it.status is Status.RUNNING:
            it.status, it.rollback, it.ending = it.ending or Status.ERRORED, "complete", None


class Expected:
    """The same, one control after the other, as a reader of the documentation would do it."""

    def __init__(self, state: Instance):
        ended, paused = state.status.ended, state.status is Status.PAUSED
        self.run = state.run
        self.is_ended, self.is_paused = ended, paused and state.wake_at is None
        self.compensates = state.rollback == "running" and not ended
        self.is_poisoned = state.error is not None and state.error.name == POISONED
        self.later: list[Asked] = []

    def take(self, asked: Asked) -> None:
        """Applies the next control of the stream."""
        action = asked.action
        if self.compensates and (
            action is Action.RESTART or (action is Action.TERMINATE and self.later)
        ):
            self.later.append(asked)
        elif action is Action.RESTART:
            self.run += 1
            self.is_ended = self.is_paused = self.is_poisoned = False
        elif action is Action.RESUME:
            self.is_paused = False
            if self.is_poisoned:
                self.is_ended = self.is_poisoned = False
        elif self.is_ended:
            pass
        elif action is Action.PAUSE:
            self.is_paused = True
        elif not self.compensates:
            self.is_paused = False
            self.is_ended, self.compensates = not asked.rollback, asked.rollback

    def finish_compensations(self) -> None:
        """What could not be obeyed while they ran is obeyed then."""
        if self.compensates and not self.is_paused:
            self.compensates, self.is_ended = False, True
            later, self.later = self.later, []
            for asked in later:
                self.take(asked)


SEQUENCES = [sequence for length in (1, 2, 3) for sequence in product(CONTROLS, repeat=length)]


def assert_as_expected(world: World, expected: Expected, story: str) -> None:
    it = world.instance
    assert it.run == expected.run, story
    assert it.status.ended is expected.is_ended, story
    assert it.is_paused is expected.is_paused, story
    assert (it.rollback == "running") is (expected.compensates and not it.status.ended), story


@pytest.mark.rule("engine-13", "engine-14")
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("together", [False, True], ids=["one-by-one", "together"])
def test_controls_do_what_they_say_in_the_order_of_their_stream(state: str, together: bool) -> None:
    for sequence in SEQUENCES:
        world, expected = World(STATES[state]), Expected(STATES[state])
        for number, asked in enumerate(sequence, start=1):
            world.unread.append(control(asked, number))
            expected.take(asked)
            if not together:
                world.claim()
        world.claim()
        story = f"{state}: {', '.join(map(str, sequence))}"
        assert_as_expected(world, expected, story)
        world.finish_compensations()
        expected.finish_compensations()
        world.claim()
        assert_as_expected(world, expected, f"{story}, then the end of the compensations")
        # A restart waits for compensations, those of a later terminate too.
        assert world.unread == [] or world.instance.rollback == "running", story


@pytest.mark.rule("engine-13")
@pytest.mark.parametrize("state", ["waiting", "running", "paused", "mismatched"])
def test_pauses_resumes_and_a_restart_after_them_may_be_stored_in_any_order(state: str) -> None:
    toggles = [Asked(Action.PAUSE), Asked(Action.RESUME)]
    sequences: list[Sequence[Asked]] = [*product(toggles, repeat=3), *product(toggles, repeat=4)]
    sequences += [(*each, Asked(Action.RESTART)) for each in product(toggles, repeat=2)]
    for sequence in sequences:
        messages = [control(asked, number) for number, asked in enumerate(sequence, start=1)]
        in_order = World(STATES[state])
        in_order.unread = list(messages)
        in_order.claim()
        for order in permutations(messages):
            world = World(STATES[state])
            for message in order:
                world.unread.append(message)
                world.claim()
            story = f"{state}: {[(each.type, each.position.sequence) for each in order]}"
            assert world.instance.is_paused is in_order.instance.is_paused, story
            assert world.instance.run == in_order.instance.run, story
            assert world.unread == [], story


@pytest.mark.rule("engine-13", "engine-14")
@pytest.mark.parametrize("state", [name for name in STATES if "compensating" not in name])
def test_what_stood_before_a_restart_means_nothing_to_its_run(state: str) -> None:
    for asked in CONTROLS:
        earlier, restart = control(asked, 1), control(Asked(Action.RESTART), 2)
        world = World(STATES[state])
        for message in (restart, earlier):
            world.unread.append(message)
            world.claim()
        story = f"{state}: {asked}, stored after the restart"
        assert world.unread == [], story
        assert world.instance.run == 2, story
        assert world.instance.status is Status.RUNNING, story
        assert world.instance.rollback is None, story


@pytest.mark.rule("engine-13")
def test_a_stream_that_was_made_anew_is_younger_whatever_it_counts() -> None:
    paused = replace(STATES["paused"], control=StreamPosition("2026-03-01T10:00:00+00:00", 900))
    resume = replace(
        control(Asked(Action.RESUME), 1),
        position=StreamPosition("2026-03-01T10:00:00.5+00:00", 1),
    )
    assert decide(paused, [resume]).action is Action.RESUME


def test_signals_and_notices_decide_nothing() -> None:
    message = replace(control(Asked(Action.TERMINATE), 1), category="signal")
    assert decide(STATES["waiting"], [message]) == Decision()
    assert not decide(STATES["waiting"], [replace(message, category="notice")]).acts


def test_a_decision_says_how() -> None:
    asked = control(Asked(Action.TERMINATE, rollback=True), 1)
    decision = decide(STATES["waiting"], [asked])
    assert decision.command == msgspec.json.decode(asked.payload, type=ControlCommand)
    assert decision.taken == (asked.seq,)
