"""`/api/schedules`: the crons of every service."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial

from aiohttp import web

from services.gateway.middleware import ACTOR
from services.gateway.routes.operations import (
    ANY_SERVICES,
    OF_BODY,
    OF_KEY,
    OF_SERVICE,
    UNAUTHORIZED,
    AnyContent,
    Operation,
    Parameter,
)
from services.gateway.routes.reading import idempotency_key, read_object
from shared.jetstream.requests import Requests
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.decoding import convert
from shared.messages.problems import Refused
from shared.messages.schedules import AllSchedules, BySchedule, Schedule, ScheduleName, Schedules
from shared.messages.workflows import Accepted

ACTIONS = {"pause": 200, "resume": 200, "trigger": 202}
"""What can be done to a schedule, and the status of its answer."""


OF_ACTION = (*OF_BODY, *OF_KEY, "idempotency_key_reused", "schedule_not_found")

OPERATIONS = (
    Operation(
        "GET",
        "/api/schedules",
        "List the crons",
        Schedules,
        200,
        (*UNAUTHORIZED, "unknown_service", *OF_SERVICE),
        (Parameter("service", "query", ANY_SERVICES, required=False),),
    ),
    *(
        Operation(
            "POST",
            f"/api/schedules/{{service}}/{{name}}/{action}",
            f"{action.capitalize()} a cron",
            Accepted if action == "trigger" else Schedule,
            status,
            (*UNAUTHORIZED, "unknown_service", *OF_ACTION, *OF_SERVICE),
            (Parameter("service", "path", ANY_SERVICES), Parameter("name", "path", ScheduleName)),
            body=AnyContent,
            idempotency_key=True,
        )
        for action, status in ACTIONS.items()
    ),
)


class ScheduleRoutes:
    """Handlers; each asks the service that has the schedule."""

    def __init__(self, requests: Requests, services: Collection[str]):
        self._requests = requests
        self._services = sorted(services)

    def table(self) -> list[web.RouteDef]:
        """The addresses."""
        return [
            web.get("/api/schedules", self.all),
            *(
                web.post(
                    f"/api/schedules/{{service}}/{{name}}/{action}", partial(self._act, action)
                )
                for action in ACTIONS
            ),
        ]

    async def all(self, request: web.Request) -> web.Response:
        """Those of `?service=`, else of every service, each of which must answer."""
        asked = request.query.get("service")
        services = self._services if asked is None else [self._known(asked)]
        answers = await asyncio.gather(
            *(
                self._requests.request(
                    subjects.query(service, "schedules"), AllSchedules(), Schedules
                )
                for service in services
            )
        )
        found = Schedules(schedules=tuple(each for one in answers for each in one.schedules))
        return web.Response(body=encode(found), content_type="application/json")

    async def _act(self, action: str, request: web.Request) -> web.Response:
        service = self._known(request.match_info["service"])
        # There is nothing to say in a body, but a wrong one is still told.
        await read_object(request)
        named = convert({"name": request.match_info["name"]}, BySchedule)
        headers = {subjects.ACTOR: request[ACTOR]}
        key = idempotency_key(request)
        if key is not None:
            headers[subjects.IDEMPOTENCY_KEY] = key
        reply = await self._requests.send(
            subjects.command(service, f"{action}_schedule"), encode(named), headers
        )
        return web.Response(body=reply, status=ACTIONS[action], content_type="application/json")

    def _known(self, service: str) -> str:
        if service not in self._services:
            known = ", ".join(self._services)
            raise Refused(
                "unknown_service",
                f"there is no service {service!r}; there are: {known}",
                status=404,
                field="service",
            )
        return service
