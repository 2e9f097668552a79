"""How a message that does not fit is refused."""

from __future__ import annotations

import pytest

from shared.messages.decoding import convert, decode, place
from shared.messages.player import CreateAchievement, Spend
from shared.messages.problems import Refused
from shared.messages.workflows import StartPlayer


@pytest.mark.rule("http-problems")
@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{}", "playerId"),
        (b'{"playerId": 1}', "playerId"),
        (b'{"playerId": "x"}', "playerId"),
        (
            b'{"playerId":"8a5f0b4e-50d5-4c6b-9a38-0d8b3cf1d1a5","triggerTime":"2026-03-01T08:00"}',
            "triggerTime",
        ),
        (b"[]", None),
    ],
)
def test_another_shape_is_422_with_the_field_by_its_name_on_the_wire(
    body: bytes, field: str | None
) -> None:
    with pytest.raises(Refused) as refused:
        decode(body, StartPlayer)
    assert (refused.value.status, refused.value.field) == (422, field)


@pytest.mark.rule("http-problems")
@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b"\xff", b'"\xff"'])
def test_malformed_json_is_400(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        decode(body, object)
    assert refused.value.status == 400


def test_json_nested_too_deeply_is_400() -> None:
    with pytest.raises(Refused, match="nested too deeply") as refused:
        decode(b"[" * 100_000, object)
    assert refused.value.status == 400


def test_a_field_inside_another_is_named_by_its_path() -> None:
    value = {"id": "a", "name": "A", "type": "level", "threshold": 1, "reward": {"xp": "1"}}
    with pytest.raises(Refused) as refused:
        convert(value, CreateAchievement)
    assert refused.value.field == "reward.xp"


def test_decoded_json_is_taken_as_strictly_as_a_body() -> None:
    with pytest.raises(Refused) as refused:
        convert({"playerId": "8a5f0b4e-50d5-4c6b-9a38-0d8b3cf1d1a5", "key": 1}, Spend)
    assert refused.value.field == "key"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Invalid UUID - at `$.playerId`", ("Invalid UUID", "playerId")),
        ("Expected `int` - at `$.items[3].count`", ("Expected `int`", "items[3].count")),
        (
            "Object missing required field `b` - at `$.a`",
            ("Object missing required field `b`", "a.b"),
        ),
        ("Object missing required field `b`", ("Object missing required field `b`", "b")),
        ("`startAt` needs a UTC offset", ("`startAt` needs a UTC offset", "startAt")),
        ("Expected `object`, got `array`", ("Expected `object`, got `array`", None)),
    ],
)
def test_msgspecs_words_are_taken_apart(text: str, expected: tuple[str, str | None]) -> None:
    assert place(text) == expected
