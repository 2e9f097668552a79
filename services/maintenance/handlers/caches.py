"""Carries out requests about the caches, and what follows for them from other services' facts."""

from __future__ import annotations

from services.maintenance.caches import Caches
from shared.messages import billing, maintenance, player
from shared.messages.maintenance import AllCaches, CacheState, InvalidateCache
from shared.runtime.handling import (
    AnyErrand,
    AnyEventHandler,
    AnyHandler,
    Errand,
    EventHandler,
    Handler,
    Heard,
    Work,
)
from shared.runtime.surroundings import Surroundings


class CacheHandlers:
    """Those of the service's caches."""

    def __init__(self, caches: Caches) -> None:
        self._caches = caches

    def errands(self) -> tuple[AnyErrand, ...]:
        """What changes them."""
        return (Errand("invalidate_cache", InvalidateCache, self.invalidate),)

    def queries(self) -> tuple[AnyHandler, ...]:
        """What tells of them."""
        return (Handler("caches", AllCaches, self.all),)

    def events(self) -> tuple[AnyEventHandler, ...]:
        """The facts that make their values old; heard twice, they only cost a read more."""
        return (
            EventHandler(player.SERVICE, player.CatalogueChanged, self.catalogue_changed),
            EventHandler(billing.SERVICE, billing.PlanEdited, self.plan_edited),
        )

    async def invalidate(self, _: Surroundings, request: InvalidateCache) -> CacheState:
        """For an operator who changed something behind the service's back."""
        await self._caches.invalidate(request.namespace)
        [state] = [
            each for each in await self._caches.states() if each.namespace == request.namespace
        ]
        return state

    async def all(self, _: Work, _query: AllCaches) -> maintenance.Caches:
        """How each stands."""
        return maintenance.Caches(caches=await self._caches.states())

    async def catalogue_changed(self, _: Work, _fact: Heard[player.CatalogueChanged]) -> None:
        """Achievements are read anew."""
        await self._caches.invalidate("achievements")

    async def plan_edited(self, _: Work, _fact: Heard[billing.PlanEdited]) -> None:
        """Plans are read anew."""
        await self._caches.invalidate("plans")
