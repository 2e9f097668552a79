"""A parent never waits for a child that cannot begin."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import monotonic

import msgspec
import pytest

from shared.messages import subjects
from shared.messages.workflows import ChildOutcome
from shared.testing.memory import MemoryStore
from shared.testing.memory_delivery import MemoryDelivery
from shared.testing.memory_transaction import MemoryTransaction
from shared.testing.rig import Rig
from shared.testing.samples import SampleWorkflow, StartSample
from shared.workflow.records import InstanceKey
from shared.workflow.registry import register
from shared.workflow.settings import EngineSettings


class Defective(MemoryStore):
    """Meets an error of ours whenever a run begins."""

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[MemoryTransaction]:
        raise RuntimeError("a defect")
        yield


@pytest.mark.rule("engine-23", "engine-24")
async def test_the_parent_of_a_start_that_is_given_up_is_told() -> None:
    store = Defective(monotonic)
    rig = Rig([register(StartSample, SampleWorkflow())], store=store)
    parent = InstanceKey("sample", "parent")
    outcomes = [
        await rig.executor.deliver(
            MemoryDelivery(
                subjects.start("sample"),
                b"{}",
                {subjects.WORKFLOW_ID: "child", subjects.PARENT: f"{parent}/3"},
                attempt=attempt,
            )
        )
        for attempt in (1, EngineSettings().poison_claims)
    ]
    assert outcomes == ["dropped", "poisoned"]
    assert [letter.reason for letter in store.dead_letters.values()] == ["poisoned"]
    [notice] = await store.unread(parent)
    assert (notice.category, notice.type) == ("notice", "sample.child/3")
    outcome = msgspec.json.decode(notice.payload, type=ChildOutcome)
    assert outcome.error is not None
    assert outcome.error.name == "poisoned"
