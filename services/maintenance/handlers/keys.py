"""Creates, lists and revokes API keys."""

from __future__ import annotations

from services.maintenance.keys import Keys
from services.maintenance.store.keys import KeyStore
from shared.jetstream.api_keys import KnownKey
from shared.messages.maintenance import AllApiKeys, ApiKey, ApiKeys, CreateApiKey, RevokeApiKey
from shared.messages.problems import Refused
from shared.runtime.handling import AnyHandler, Handler, Work


class KeyHandlers:
    """Those of the gateway's API keys.

    The bucket is written before the commit: what fails afterwards leaves a key that nobody has, or
    one that is out although its revoking failed; the next `tick` puts both right. The other way
    round, a revoked key could be answered for that is still let in.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def commands(self) -> tuple[AnyHandler, ...]:
        """What changes them."""
        return (
            Handler("create_api_key", CreateApiKey, self.create),
            Handler("revoke_api_key", RevokeApiKey, self.revoke),
        )

    def queries(self) -> tuple[AnyHandler, ...]:
        """What tells of them."""
        return (Handler("api_keys", AllApiKeys, self.all),)

    async def create(self, work: Work, request: CreateApiKey) -> ApiKey:
        """Lets a new key in."""
        store = KeyStore(work.connection)
        await store.lock()
        if not await store.add(request, work.now, work.actor):
            raise Refused(
                "key_exists",
                f"this request made the key {request.id} before, and its secret is shown once: "
                "revoke it, and create another one",
                status=409,
            )
        known = KnownKey(
            secret_sha256=request.secret_sha256,
            scopes=request.scopes,
            rate_per_second=request.rate_per_second,
        )
        await self._keys.let_in(request.id, known)
        return await _found(store, request.id)

    async def revoke(self, work: Work, request: RevokeApiKey) -> ApiKey:
        """Lets a key in no more; one that was revoked stays so."""
        store = KeyStore(work.connection)
        await store.lock()
        await store.revoke(request.id, work.now, work.actor)
        revoked = await _found(store, request.id)
        await self._keys.keep_out(request.id)
        return revoked

    async def all(self, work: Work, _query: AllApiKeys) -> ApiKeys:
        """All there ever were."""
        return ApiKeys(keys=await KeyStore(work.connection).all())


async def _found(store: KeyStore, key_id: str) -> ApiKey:
    found = await store.one(key_id)
    if found is None:
        raise Refused("key_not_found", f"there is no API key {key_id}", status=404, field="id")
    return found
