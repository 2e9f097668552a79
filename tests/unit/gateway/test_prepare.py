"""What a start becomes before anything is stored, and what one is told whose id is taken."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from services.gateway.starts import Outcome, Start, judge, prepare
from shared.messages.problems import Refused
from shared.messages.workflows import Status, StatusDocument

PLAYER = "8a5f0b4e-50d5-4c6b-9a38-0d8b3cf1d1a5"
NEW_ID = UUID(int=7)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def prepared(value: Any = None, *, key: str | None = None, place: str = "") -> Start:
    return prepare(
        "player",
        {"playerId": PLAYER} if value is None else value,
        actor="api",
        idempotency_key=key,
        new_id=lambda: NEW_ID,
        place=place,
    )


def stored(start: Start) -> StatusDocument:
    return StatusDocument(
        workflow_id=start.key.id,
        kind=start.key.kind,
        status=Status.QUEUED,
        created_at=NOON,
        updated_at=NOON,
        body_hash=start.body_hash,
        idempotency_key=start.idempotency_key,
    )


@pytest.mark.rule("http-start")
def test_a_given_id_is_kept() -> None:
    assert prepared({"playerId": PLAYER, "id": "mine"}).key == ("player", "mine")


@pytest.mark.rule("http-start")
@pytest.mark.parametrize("given", [{}, {"id": None}])
def test_a_start_without_id_gets_a_new_one_in_its_body_too(given: dict[str, None]) -> None:
    start = prepared({"playerId": PLAYER, **given})
    assert start.key.id == str(NEW_ID)
    assert msgspec.json.decode(start.body) == {"id": str(NEW_ID), "playerId": PLAYER}


@pytest.mark.rule("engine-15", "http-idempotency-key")
def test_the_same_idempotency_key_leads_to_the_same_id() -> None:
    assert prepared(key="k").key == prepared(key="k").key != prepared(key="other").key


@pytest.mark.rule("http-batch")
def test_members_of_a_batch_get_ids_of_their_own_from_its_one_key() -> None:
    assert prepared(key="k", place="0").key != prepared(key="k", place="1").key


@pytest.mark.rule("engine-15")
def test_the_order_of_fields_makes_no_other_body_but_a_value_does() -> None:
    one = prepared({"playerId": PLAYER, "id": "a"})
    assert one.body_hash == prepared({"id": "a", "playerId": PLAYER}).body_hash
    other = {"playerId": PLAYER, "id": "a", "startAt": "2026-03-01T08:00:00Z"}
    assert one.body_hash != prepared(other).body_hash


@pytest.mark.rule("engine-15")
def test_a_repetition_with_the_id_it_was_told_has_the_same_body() -> None:
    first = prepared()
    assert prepared({"playerId": PLAYER, "id": first.key.id}).body_hash == first.body_hash


@pytest.mark.rule("engine-30")
def test_an_input_over_one_mebibyte_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        prepared({"playerId": PLAYER, "padding": "x" * 1024 * 1024})
    assert refused.value.status == 413


@pytest.mark.rule("engine-15", "http-same-id")
@pytest.mark.parametrize(
    ("first_key", "second_key", "same_body", "expected"),
    [
        (None, None, True, Outcome.EXISTS),
        ("k", None, True, Outcome.EXISTS),
        (None, "k", True, Outcome.EXISTS),
        ("k", "other", True, Outcome.EXISTS),
        ("k", "other", False, Outcome.EXISTS),
        ("k", "k", True, Outcome.REPLAYED),
        ("k", "k", False, Outcome.KEY_REUSED),
    ],
)
def test_only_the_same_key_with_the_same_body_is_a_repetition(
    first_key: str | None, second_key: str | None, same_body: bool, expected: Outcome
) -> None:
    first = prepared({"playerId": PLAYER, "id": "a"}, key=first_key)
    player = PLAYER if same_body else str(UUID(int=1))
    second = prepared({"playerId": player, "id": "a"}, key=second_key)
    assert judge(stored(first), second) is expected
