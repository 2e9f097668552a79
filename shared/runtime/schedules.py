"""Lists, pauses, resumes and triggers the crons of any service."""

from __future__ import annotations

from uuid import UUID, uuid5

import msgspec

from shared.messages.problems import Refused
from shared.messages.schedules import AllSchedules, BySchedule, Schedule, Schedules
from shared.messages.workflows import Accepted
from shared.postgres.crons import CronStore
from shared.runtime.handling import AnyHandler, Handler, Work
from shared.workflow.crons import StoredCron, Timetable

NAMESPACE = UUID("8b2f3c52-6c5e-5f6b-9a38-2d6f0a7f4c11")
"""Root of the ids of runs that somebody asked for."""


class ScheduleHandlers:
    """What a service answers about its crons."""

    def __init__(self, service: str):
        self._service = service

    def commands(self) -> tuple[AnyHandler, ...]:
        """The requests that change something."""
        return (
            Handler("pause_schedule", BySchedule, self.pause),
            Handler("resume_schedule", BySchedule, self.resume),
            Handler("trigger_schedule", BySchedule, self.trigger),
        )

    def queries(self) -> tuple[AnyHandler, ...]:
        """The requests that read."""
        return (Handler("schedules", AllSchedules, self.all),)

    async def all(self, work: Work, _: AllSchedules) -> Schedules:
        """Every cron."""
        crons = await CronStore(work.connection).all()
        return Schedules(schedules=tuple(self._shown(cron) for cron in crons))

    async def pause(self, work: Work, request: BySchedule) -> Schedule:
        """Starts nothing until it is resumed; again changes nothing."""
        store = CronStore(work.connection)
        cron = await self._found(store, request)
        if cron.paused_at is not None:
            return self._shown(cron)
        await store.pause(cron.name, work.now, work.actor)
        return self._shown(msgspec.structs.replace(cron, paused_at=work.now, paused_by=work.actor))

    async def resume(self, work: Work, request: BySchedule) -> Schedule:
        """Goes on at the next nominal time; what came during the pause is not made up for."""
        store = CronStore(work.connection)
        cron = await self._found(store, request)
        if cron.paused_at is None:
            return self._shown(cron)
        next_at = Timetable(cron.expression, cron.time_zone).after(work.now)
        await store.resume(cron.name, next_at)
        return self._shown(
            msgspec.structs.replace(cron, paused_at=None, paused_by=None, next_at=next_at)
        )

    async def trigger(self, work: Work, request: BySchedule) -> Accepted:
        """Starts one run now, paused or not; the next nominal time stays as it is."""
        cron = await self._found(CronStore(work.connection), request)
        # From the request's key, so that a request repeated after years starts nothing more.
        workflow_id = f"{cron.name}-{uuid5(NAMESPACE, f'{cron.name}/{work.key}')}"
        work.send(cron.start(workflow_id, decided_at=work.now, actor=work.actor, now=work.now))
        return Accepted(workflow_id=workflow_id)

    async def _found(self, store: CronStore, request: BySchedule) -> StoredCron:
        cron = await store.lock(request.name)
        if cron is None:
            raise Refused(
                "schedule_not_found",
                f"{self._service} has no schedule {request.name!r}",
                status=404,
                field="name",
            )
        return cron

    def _shown(self, cron: StoredCron) -> Schedule:
        return Schedule(
            service=self._service,
            name=cron.name,
            kind=cron.kind,
            expression=cron.expression,
            time_zone=cron.time_zone,
            input=msgspec.Raw(cron.input),
            next_at=cron.next_at if cron.paused_at is None else None,
            last_at=cron.last_at,
            paused_at=cron.paused_at,
            paused_by=cron.paused_by,
        )
