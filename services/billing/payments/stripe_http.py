"""How the SDK's requests travel."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp
import stripe


class StripeHttp(stripe.HTTPClient):
    """One session of aiohttp, opened with the first request.

    The SDK's own client for aiohttp lets go of an answer before it is read: one that breaks off is
    then neither translated nor its connection closed.
    """

    name = "aiohttp"

    def __init__(self, *, timeout_seconds: float):
        super().__init__()
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Body, status and headers of the answer. Raises stripe.APIConnectionError, its cause being
        what aiohttp says."""
        if self._session is None:
            trusted = ssl.create_default_context(cafile=stripe.ca_bundle_path)
            connector = aiohttp.TCPConnector(ssl=trusted)
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        try:
            async with self._session.request(
                method, url, headers=headers, data=post_data, allow_redirects=False
            ) as answer:
                return await answer.read(), answer.status, answer.headers
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _failed(error) from error

    async def close_async(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()


def _failed(error: Exception) -> stripe.APIConnectionError:
    return stripe.APIConnectionError(type(error).__name__)  # type: ignore[no-untyped-call]
