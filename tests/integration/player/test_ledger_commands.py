"""Spending, granting and taking back."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from shared.messages.player import (
    Grant,
    Player,
    Progress,
    Revoke,
    Revoked,
    Spend,
    UpdatePlayer,
)
from shared.messages.problems import Refused
from tests.integration.player.game import Game


@pytest.mark.rule("player-spend")
async def test_fifty_concurrent_spends_of_the_last_coin_spend_it_once(game: Game) -> None:
    player_id = await game.player(coins=1)

    async def spend(number: int) -> str:
        request = Spend(player_id=player_id, key=f"purchase-{number}", coins=1)
        try:
            await game.do(Progress, "spend", request)
        except Refused as refused:
            return refused.code
        return "spent"

    outcomes = await asyncio.gather(*(spend(number) for number in range(50)))

    assert sorted(outcomes) == ["insufficient_funds"] * 49 + ["spent"]
    assert (await game.progress(player_id)).coins == 0
    await game.assert_ledger_agrees(player_id)


@pytest.mark.rule("player-spend")
async def test_one_key_spends_once_however_often_and_how_many_at_once(game: Game) -> None:
    player_id = await game.player(coins=10)
    request = Spend(player_id=player_id, key="purchase", coins=4, reason="a hat")
    answers = await asyncio.gather(*(game.do(Progress, "spend", request) for _ in range(10)))
    assert {answer.coins for answer in answers} == {6}
    await game.assert_ledger_agrees(player_id)


@pytest.mark.rule("player-spend")
async def test_a_key_with_other_amounts_is_refused(game: Game) -> None:
    player_id = await game.player(coins=10)
    await game.do(Progress, "spend", Spend(player_id=player_id, key="purchase", coins=4))
    with pytest.raises(Refused) as refused:
        await game.do(Progress, "spend", Spend(player_id=player_id, key="purchase", coins=5))
    assert (refused.value.code, refused.value.status) == ("key_reused", 422)
    assert refused.value.field == "key"
    assert (await game.progress(player_id)).coins == 6


@pytest.mark.rule("player-spend")
async def test_a_spend_takes_all_it_asks_for_or_nothing(game: Game) -> None:
    player_id = await game.player(coins=10)
    request = Spend(player_id=player_id, key="purchase", coins=4, skill_points=1)
    with pytest.raises(Refused) as refused:
        await game.do(Progress, "spend", request)
    assert (refused.value.code, refused.value.status) == ("insufficient_funds", 409)
    assert refused.value.field == "skillPoints"
    assert (await game.progress(player_id)).coins == 10
    with pytest.raises(Refused, match="at least one amount"):
        await game.do(Progress, "spend", Spend(player_id=player_id, key="nothing"))


@pytest.mark.rule("player-spend", "player-inactive-guests")
async def test_an_inactive_player_cannot_spend_but_an_operator_can_still_put_things_right(
    game: Game,
) -> None:
    player_id = await game.player(coins=10)
    await game.do(Player, "update_player", UpdatePlayer(player_id=player_id, is_active=False))
    with pytest.raises(Refused) as refused:
        await game.do(Progress, "spend", Spend(player_id=player_id, key="purchase", coins=1))
    assert refused.value.code == "player_inactive"
    request = Grant(player_id=player_id, key="ticket-1", reason="lost in a crash", coins=5)
    assert (await game.do(Progress, "grant", request)).coins == 15


@pytest.mark.rule("player-spend")
async def test_a_grant_is_given_once_with_reason_and_actor(game: Game) -> None:
    player_id = await game.player()
    request = Grant(
        player_id=player_id, key="ticket-1", reason="lost in a crash", xp=50, items=("hat", "hat")
    )
    for _ in range(3):
        progress = await game.do(Progress, "grant", request)
        assert progress.xp == 50
    rows = await game.fetch(
        "SELECT reason, actor, created_at FROM player_grants"
        " WHERE player_uuid = $1 AND source_kind = 'grant'",
        player_id,
    )
    assert [tuple(row.values()) for row in rows] == [
        ("lost in a crash", "tester", game.clock.now())
    ]
    items = (await game.inventory(player_id)).items
    assert [(each.item, each.quantity) for each in items] == [("hat", 2)]
    with pytest.raises(Refused) as refused:
        await game.do(Progress, "grant", msgspec.structs.replace(request, items=("hat",)))
    assert refused.value.code == "key_reused"
    await game.assert_ledger_agrees(player_id)


@pytest.mark.rule("player-spend", "player-no-demotion")
async def test_a_revoke_takes_to_zero_at_most_and_records_the_rest(game: Game) -> None:
    player_id = await game.player(xp=300, coins=10, level=2)
    request = Revoke(player_id=player_id, key="ticket-2", reason="cheated", xp=500, coins=4)

    first = await game.do(Revoked, "revoke", request)
    again = await game.do(Revoked, "revoke", request)

    assert again == first
    assert (first.xp, first.coins, first.skill_points) == (300, 4, 0)
    assert (first.progress.xp, first.progress.coins, first.progress.level) == (0, 6, 2)
    shortfall = await game.fetch(
        "SELECT shortfall::text FROM player_grants WHERE source_kind = 'revoke'"
    )
    assert msgspec.json.decode(shortfall[0]["shortfall"]) == {
        "xp": 200,
        "coins": 0,
        "skill_points": 0,
    }
    with pytest.raises(Refused, match="other amounts"):
        await game.do(Revoked, "revoke", msgspec.structs.replace(request, xp=400))
    await game.assert_ledger_agrees(player_id)
