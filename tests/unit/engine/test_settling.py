"""A word that does not reach the server is no fault of the message."""

from __future__ import annotations

import pytest

from shared.messages.workflows import Status
from shared.testing.memory import MemoryStore
from shared.testing.memory_delivery import MemoryDelivery
from shared.testing.rig import Rig
from shared.testing.samples import SampleWorkflow, StartSample
from shared.workflow.errors import Transient
from shared.workflow.registry import register
from shared.workflow.settings import EngineSettings


class Unheard(MemoryDelivery):
    """Its server is away by the time it is settled."""

    def _settle(self, word: str) -> None:
        raise Transient(f"settle: {word} was not heard")


@pytest.mark.rule("engine-23")
async def test_a_start_that_cannot_be_settled_is_never_given_up_as_poisoned() -> None:
    rig = Rig([register(StartSample, SampleWorkflow())])
    first = rig.start_delivery(
        StartSample(id="one", steps=1), attempt=EngineSettings().poison_claims + 1
    )
    unheard = Unheard(first.subject, first.body, first.headers, first.attempt, first.origin)

    with pytest.raises(Transient):
        await rig.executor.deliver(unheard)

    assert isinstance(rig.store, MemoryStore)
    assert rig.store.dead_letters == {}
    assert (await rig.status("sample", "one")).status is Status.COMPLETE
