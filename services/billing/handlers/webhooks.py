"""Takes what payment providers tell by themselves."""

from __future__ import annotations

from collections.abc import Mapping

from services.billing.handlers.happening import tell_renewal
from services.billing.models import DeclineClass
from services.billing.payments.provider import PaymentProvider, SignatureRefused
from services.billing.provider_events import ProviderEvents
from services.billing.rules.declines import DECLINES
from shared.messages.billing import ProviderWebhook, WebhookTaken
from shared.messages.problems import Refused
from shared.runtime.handling import AnyHandler, Handler, Work


class Webhooks:
    """The providers whose signatures are believed."""

    def __init__(
        self,
        providers: Mapping[str, PaymentProvider],
        declines: Mapping[str, DeclineClass] = DECLINES,
    ):
        self._providers = providers
        self._declines = declines

    def commands(self) -> tuple[AnyHandler, ...]:
        """The one request."""
        return (Handler("provider_webhook", ProviderWebhook, self.take),)

    async def take(self, work: Work, request: ProviderWebhook) -> WebhookTaken:
        """Keeps a genuine event, and applies it; of any other nothing is kept."""
        provider = self._providers.get(request.provider)
        if provider is None:
            raise Refused(
                "provider_not_found",
                f"there is no provider {request.provider!r}",
                status=404,
                field="provider",
            )
        try:
            event = provider.verify(request.body, request.headers, work.now)
        except SignatureRefused as error:
            raise Refused("signature_refused", str(error), status=400) from error
        events = ProviderEvents(
            work.connection,
            provider.name,
            now=work.now,
            publish=work.publish,
            declines=self._declines,
        )
        arrival = await events.take(event)
        tell_renewal(work, arrival.follow_up)
        return WebhookTaken(event_id=event.id, outcome=arrival.outcome)
