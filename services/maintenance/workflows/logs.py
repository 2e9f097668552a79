"""Archives closed log segments that are old enough."""

from __future__ import annotations

from datetime import timedelta

from services.maintenance.archive.archiver import Archiver, Batch
from shared.messages.maintenance import LogsRotated
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import Transient

ATTEMPT_SECONDS = 600
"""A batch takes up segments for a minute; the last of them may be large."""


class LogRotation:
    """Archives closed log segments that are old enough, a batch a call.

    No call has a look-up: one that was cut off left each segment whole, in one place or the other,
    and the next goes on.
    """

    def __init__(self, log_dir: str, keep_days: int) -> None:
        self._log_dir = log_dir
        self._keep = timedelta(days=keep_days)
        self._archiver: Archiver | None = None

    def give(self, archiver: Archiver) -> None:
        """What archives."""
        self._archiver = archiver

    async def __call__(self, ctx: WorkflowContext) -> LogsRotated:
        """See Part."""
        patient = ctx.options(timeout=timedelta(seconds=ATTEMPT_SECONDS))
        after, done = "", LogsRotated()
        while True:
            batch = await patient.call("log_rotation", self.act, after)
            done = LogsRotated(
                archived=done.archived + batch.archived,
                bytes=done.bytes + batch.bytes,
                failed=done.failed + batch.failed,
                note=None if self._log_dir else "LOG_DIR is not set",
            )
            if batch.last is None:
                return done
            after = batch.last

    async def act(self, call: Call, after: str) -> Batch:
        """One batch; nothing where no segments are written."""
        if not self._log_dir:
            return Batch()
        if self._archiver is None:
            raise Transient("the service has not begun")
        return await self._archiver.archive(call.now, self._keep, after)
