"""`/api/persons`: what was exported about somebody, and who was erased."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from services.gateway.routes.forwarding import Forward
from services.gateway.routes.operations import UNAUTHORIZED, AnyContent, Operation
from services.gateway.routes.workflows import ID, checked_id
from services.gateway.statuses import StatusReader
from shared.jetstream.objects import ObjectMissing, Objects
from shared.messages import subjects
from shared.messages.persons import ErasuresQuery
from shared.messages.problems import Refused
from shared.messages.workflows import StartPersonExport, Status

query = partial(subjects.query, StartPersonExport.service)

TABLE = (Forward("GET", "/api/persons/erasures", query("erasures"), ErasuresQuery),)


OPERATIONS = (
    Operation(
        "GET",
        "/api/persons/exports/{id}",
        "The document of an export",
        AnyContent,
        200,
        (
            *UNAUTHORIZED,
            "invalid_workflow_id",
            "workflow_not_found",
            "export_not_complete",
            "export_gone",
            "unavailable",
        ),
        (ID,),
    ),
)


class PersonRoutes:
    """The document of an export."""

    def __init__(self, reader: StatusReader, documents: Objects):
        self._reader = reader
        self._documents = documents

    def table(self) -> list[web.RouteDef]:
        """The address."""
        return [web.get("/api/persons/exports/{id}", self.document)]

    async def document(self, request: web.Request) -> web.Response:
        """The whole document, once its export is complete."""
        workflow_id = checked_id(request.match_info["id"])
        status = await self._reader.read(workflow_id, StartPersonExport.kind)
        if status.status is not Status.COMPLETE:
            raise Refused(
                "export_not_complete",
                f"the export {workflow_id} is {status.status}: read /api/workflows/{workflow_id}",
                status=409,
                field="id",
            )
        body = bytearray()
        try:
            # Whole before the first byte goes out: until then nothing is certain.
            async for chunk in self._documents.get(workflow_id):
                body += chunk
        except ObjectMissing as error:
            raise Refused(
                "export_gone",
                "its document was kept for 7 days, or until the person was erased: export again",
                status=410,
                field="id",
            ) from error
        return web.Response(
            body=bytes(body),
            content_type="application/json",
            headers={
                "Cache-Control": "no-store",
                "Content-Disposition": f'attachment; filename="{workflow_id}.json"',
            },
        )
