"""The export of a person: what all services have about them, in one document."""

from __future__ import annotations

from datetime import timedelta

from services.maintenance.persons import Documents, PersonOwners, exported, owned
from services.maintenance.store.persons import PersonStore
from shared.messages.persons import PERSON_ERASED, PersonExported
from shared.messages.workflows import StartPersonExport
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import NonRetryableError
from shared.workflow.options import Retry
from shared.workflow.step import Step

ASKING = Retry(max_attempts=10, max_delay=timedelta(minutes=1))
TIMEOUT = timedelta(minutes=10)
"""For all pages of all services."""


class PersonExportWorkflow:
    """Gathers all that the services have about a person."""

    kind = "person_export"

    def __init__(self, owners: PersonOwners, documents: Documents) -> None:
        self._owners = owners
        self._documents = documents

    async def run(self, ctx: WorkflowContext, start: StartPersonExport) -> PersonExported:
        """The document goes into the bucket; the journal holds its manifest alone."""
        await ctx.step("begin", self.begin, start)
        manifest = await ctx.options(retry=ASKING, timeout=TIMEOUT).call(
            "gather", self.gather, start, compensate=self.discard
        )
        await ctx.step("confirm", self.confirm, start)
        return manifest

    async def begin(self, step: Step, start: StartPersonExport) -> None:
        """Notes the export first, so that an erasure finds it, whenever its document comes."""
        await self._check_present(step, start)
        await PersonStore(step.connection).add_export(step.workflow_id, start, step.now)

    async def gather(self, call: Call, start: StartPersonExport) -> PersonExported:
        """Asks the owners, page by page, and keeps what they answered."""
        parts = {each.service: await self._owners.part(each) for each in owned(start)}
        manifest, document = exported(call, parts)
        if all(part.rows == 0 for part in manifest.parts):
            raise NonRetryableError("person_not_found", "no service knows these ids")
        await self._documents.put(call.workflow_id, document)
        return manifest

    async def discard(self, call: Call, _manifest: PersonExported | None) -> None:
        """Deletes the document."""
        await self._documents.delete(call.workflow_id)

    async def confirm(self, step: Step, start: StartPersonExport) -> None:
        """What was gathered of somebody who was erased meanwhile goes."""
        await self._check_present(step, start)

    async def _check_present(self, step: Step, start: StartPersonExport) -> None:
        if await PersonStore(step.connection).is_erased(start):
            raise NonRetryableError(PERSON_ERASED, "this person was erased for good")
