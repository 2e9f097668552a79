"""`make bench`: workflows of five transactional steps beside the same five updates, plainly."""

from __future__ import annotations

import asyncio
import logging
import sys
from argparse import ArgumentParser

import msgspec
import structlog

from tests.benchmarks.machine import describe_machine
from tests.benchmarks.measure import measure
from tests.benchmarks.report import Report, markdown
from tests.benchmarks.stage import open_stage


async def bench(*, rounds: int, runs: int, singles: int, workers: int) -> Report:
    """Measures on fresh servers."""
    async with open_stage(workers=workers, numbers=max(runs, singles)) as stage:
        ways = await measure(stage, rounds=rounds, runs=runs, singles=singles)
        return Report(
            machine=await describe_machine(stage.pool),
            method=(
                f"{rounds} rounds of {runs} runs of each, one after the other; {workers} workers "
                f"in one process and {workers} connections in one pool, fsync on. The starts wait "
                "in the stream when the clock begins to run. Figures of rounds: median "
                f"(lowest to highest); latency: {singles} runs of each, in turns."
            ),
            ways=ways,
        )


def main() -> None:
    """Prints the table, or with --json every single figure."""
    parser = ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=800, help="of each way in a round")
    parser.add_argument("--singles", type=int, default=200, help="runs for the latency")
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="every single figure")
    given = parser.parse_args()
    # Warnings go where they do not get into the table.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    report = asyncio.run(
        bench(rounds=given.rounds, runs=given.runs, singles=given.singles, workers=given.workers)
    )
    sys.stdout.write(
        msgspec.json.format(msgspec.json.encode(report)).decode()
        if given.json
        else markdown(report)
    )
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
