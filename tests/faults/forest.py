"""Hypothesis' trees, scripts and disturbances."""

from __future__ import annotations

from functools import cache
from itertools import count
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from shared.testing.trees import (
    CallNode,
    ChildNode,
    FailNode,
    ForkNode,
    Node,
    SleepNode,
    StartTree,
    StepNode,
    WaitNode,
)
from tests.faults.disturbances import (
    Cutting,
    Disturbance,
    Doubling,
    Ending,
    Freezing,
    Pausing,
    Resending,
    Script,
    Signalled,
    Told,
    Waking,
)

LONG_SECONDS = 10_000
"""Longer than all else together that a branch does beside it."""

Body = tuple[Node, ...]
FAIL = FailNode(name="")


@cache
def steps(safe: bool) -> st.SearchStrategy[Node]:
    return st.builds(
        StepNode,
        name=st.just(""),
        failures=st.sampled_from([0, 0, 0, 1, 2, 5]),
        attempts=st.sampled_from([1, 3]),
        skipped=st.sampled_from([False, False, False, True]),
        undone=st.sampled_from(["no", "yes", "yes", "badly"]),
        tolerated=st.just(True) if safe else st.booleans(),
    )


@cache
def calls(safe: bool) -> st.SearchStrategy[Node]:
    return st.builds(
        CallNode,
        name=st.just(""),
        verified=st.booleans(),
        mishaps=st.lists(st.sampled_from(["lost", "not_sent", "unheard"]), max_size=2).map(tuple),
        ending=st.sampled_from(["done", "done", "refused", "unsure"]),
        deaf=st.sampled_from([0, 0, 1]),
        undone=st.booleans(),
        tolerated=st.just(True) if safe else st.booleans(),
    ).map(_sensible)


def _sensible(call: CallNode) -> CallNode:
    """Only what can be looked up can be unsure."""
    if call.ending == "unsure" and not call.verified:
        return replace(call, ending="done")
    return call


SLEEPS = st.builds(SleepNode, name=st.just(""), seconds=st.sampled_from([0, 1, 10, 60]))
WAITS = st.builds(WaitNode, name=st.just(""), timeout_seconds=st.sampled_from([None, 5, 30]))
_SELDOM = st.sampled_from([False, False, False, True])


@cache
def bodies(depth: int, safe: bool, may_wait: bool) -> st.SearchStrategy[Body]:
    """What is done one after another. `safe` bodies never fail; `may_wait` is for one branch of
    each fork, since it is nowhere said which of two waits a signal is for."""
    kinds: list[st.SearchStrategy[Node]] = [steps(safe), calls(safe), SLEEPS]
    if may_wait:
        kinds.append(WAITS)
    if depth:
        kinds += [forks(depth - 1, safe, may_wait), children(depth - 1, safe)]
    body = st.lists(st.one_of(kinds), min_size=1, max_size=4).map(tuple)
    if safe:
        return body

    def ended(body: Body, fails: bool) -> Body:
        return (*body, FAIL) if fails else body

    return st.builds(ended, body, _SELDOM)


@cache
def children(depth: int, safe: bool) -> st.SearchStrategy[Node]:
    return st.builds(
        ChildNode,
        name=st.just(""),
        body=bodies(depth, False, False),
        awaited=st.booleans(),
        tolerated=st.just(True) if safe else st.booleans(),
    )


@cache
def forks(depth: int, safe: bool, may_wait: bool) -> st.SearchStrategy[Node]:
    """Branches. Of those that fail fast one does, long after or long before the others do
    anything: in between it is nowhere said how far they come."""

    def branches(settle: bool) -> st.SearchStrategy[tuple[Body, ...]]:
        def together(first: Body, rest: list[Body]) -> tuple[Body, ...]:
            return (first, *rest)

        others = bodies(depth, not settle, False)
        return st.builds(
            together, bodies(depth, not settle, may_wait), st.lists(others, max_size=2)
        )

    long = SleepNode(name="", seconds=LONG_SECONDS * 10**depth)
    tolerated = st.just(True) if safe else st.booleans()
    settled = st.builds(
        ForkNode,
        name=st.just(""),
        branches=branches(True),
        settle=st.just(True),
        tolerated=tolerated,
    )

    def failing(safe_ones: tuple[Body, ...], fails: str, tolerated: bool) -> ForkNode:
        branches = _failing(safe_ones, fails, long)
        return ForkNode(name="", branches=branches, tolerated=tolerated)

    parallel = st.builds(
        failing,
        branches(False),
        st.sampled_from(["never", "late", "early"]),
        tolerated,
    )
    return settled | parallel


def _failing(branches: tuple[Body, ...], fails: str, long: SleepNode) -> tuple[Body, ...]:
    if fails == "late":
        return (*branches, (long, FAIL))
    if fails == "early":
        return ((FAIL,), *((long, *branch) for branch in branches))
    return branches


def named(body: Body, numbers: count[int] | None = None) -> Body:
    """The same with a name for each node."""
    numbers = numbers or count()
    return tuple(_named(node, numbers) for node in body)


def _named(node: Node, numbers: count[int]) -> Node:
    changed: dict[str, Any] = {"name": f"{type(node).__name__[:-4].lower()}_{next(numbers)}"}
    if isinstance(node, ForkNode):
        changed["branches"] = tuple(named(branch, numbers) for branch in node.branches)
    elif isinstance(node, ChildNode):
        changed["body"] = named(node.body, numbers)
    return replace(node, **changed)


def _trees(depth: int) -> st.SearchStrategy[StartTree]:
    return bodies(depth, False, True).map(lambda body: StartTree(body=named(body)))


TREES = _trees(2)
SMALL_TREES = _trees(1)

# At half seconds, so that none comes at the instant of a sleep's or a wait's end.
_SIGNALS = st.builds(
    Signalled, seconds=st.sampled_from([0, 0, 0.5, 3.5, 40.5]), by=st.sampled_from(["ann", "ben"])
)
_TOLD = st.builds(
    Told,
    seconds=st.sampled_from([0.5, 2.5, 15.5, 70.5]),
    action=st.sampled_from(["terminate", "restart"]),
    rollback=st.booleans(),
)
SCRIPTS: st.SearchStrategy[Script] = st.tuples(
    st.lists(_SIGNALS, max_size=3), st.lists(_TOLD, max_size=1)
).map(lambda lists: (*lists[0], *lists[1]))

_DELIVERIES = st.integers(0, 25)
_POINTS = st.integers(0, 20)
_OTHERS = st.integers(0, 4)
_DISTURBANCE: st.SearchStrategy[Disturbance] = st.one_of(
    st.builds(Cutting, delivery=_DELIVERIES, point=_POINTS),
    st.builds(Freezing, delivery=_DELIVERIES, point=_POINTS, others=_OTHERS, long=st.booleans()),
    st.builds(Doubling, delivery=_DELIVERIES),
    st.builds(Waking, delivery=_DELIVERIES),
    st.builds(Resending, delivery=_DELIVERIES),
    st.builds(Pausing, delivery=_DELIVERIES, others=_OTHERS),
)
DISTURBANCES = st.lists(_DISTURBANCE, max_size=6)
FEW_DISTURBANCES = st.lists(_DISTURBANCE, max_size=3)
ENDINGS = st.builds(Ending, delivery=_DELIVERIES)
