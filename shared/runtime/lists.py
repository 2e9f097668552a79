"""Requests about instances, which every service answers."""

from __future__ import annotations

from shared.messages.instances import Instances, InstancesQuery, Timeline, TimelineQuery
from shared.messages.problems import Refused
from shared.postgres.lists import ListStore
from shared.runtime.handling import Handler, Work


async def instances(work: Work, query: InstancesQuery) -> Instances:
    """Those that the service has taken and not retired, newest first."""
    found = await ListStore(work.connection).page(query, query.limit + 1)
    kept = found[: query.limit]
    more = len(found) > len(kept)
    return Instances(instances=tuple(kept), next=kept[-1].position if more else None)


async def timeline(work: Work, query: TimelineQuery) -> Timeline:
    """What became of an instance, in order."""
    found = await ListStore(work.connection).timeline(query)
    if found is None:
        raise Refused("workflow_not_found", f"no {query.kind} {query.id}", status=404)
    return found


QUERIES = (
    Handler("instances", InstancesQuery, instances),
    Handler("timeline", TimelineQuery, timeline),
)
