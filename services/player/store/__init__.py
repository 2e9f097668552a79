"""Every SQL statement of the player service, one method each."""

from __future__ import annotations

from services.player.store.accounts import AccountStore
from services.player.store.catalogue import CatalogueStore
from services.player.store.facts import FactStore, SessionStore
from services.player.store.inbox import InboxStore
from services.player.store.invariants import INVARIANTS
from services.player.store.ledger import LedgerStore
from services.player.store.player import PlayerStore
from services.player.store.reading import ReadingStore

__all__ = [
    "INVARIANTS",
    "AccountStore",
    "CatalogueStore",
    "FactStore",
    "InboxStore",
    "LedgerStore",
    "PlayerStore",
    "ReadingStore",
    "SessionStore",
]
