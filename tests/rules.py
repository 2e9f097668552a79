"""python -m tests.rules: the rules of the specification, and which of them no test shows."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

RULES = {
    "engine-1": "redelivery is the fast path, due_at the guarantee",
    "engine-2": "a wake carries no meaning",
    "engine-3": "a lost claim neither acks, naks nor terms",
    "engine-4": "nothing blocks behind a claim",
    "engine-5": "epoch, fence, and the journal read after the claim",
    "engine-6": "a frozen worker is cut off by the server",
    "engine-7": "trouble of the database is no attempt",
    "engine-8": "segments, and precise fallback to one commit a step",
    "engine-9": "a call commits its attempt with the segment before it",
    "engine-10": "parallel branches, and one operation at a time on a context",
    "engine-11": "after a commit: outbox, status, ack",
    "engine-12": "one inbox for signals and controls",
    "engine-13": "signals are first in, first out",
    "engine-14": "controls are requests",
    "engine-15": "the gateway's create decides a start",
    "engine-16": "the id of a bare publish",
    "engine-17": "rows outlive journals by 400 days",
    "engine-18": "calls with an unknown outcome",
    "engine-19": "compensation",
    "engine-20": "nothing acts after the end",
    "engine-21": "now, random and ids are the same on every replay",
    "engine-22": "names at positions are compared",
    "engine-23": "poison",
    "engine-24": "the parent's notice",
    "engine-25": "status never goes backwards",
    "engine-26": "the outbox is published, marked and kept",
    "engine-27": "dead letters are rows",
    "engine-28": "crons are rows",
    "engine-29": "virtual time goes from due instant to due instant",
    "engine-30": "limits of size",
    "engine-31": "what a 202 is worth",
    "engine-32": "pull only for free workers",
    "engine-33": "an unknown kind does not vanish",
    "http-start": "202 after JetStream acknowledged, and never 404 after it",
    "http-same-id": "409, and the first instance is unchanged",
    "http-idempotency-key": "the first answer again, or 422 for another body",
    "http-batch": "up to 100, existing ids skipped and named",
    "http-status": "one status, from the bucket, in both forms",
    "http-problems": "every error is a problem document",
    "http-access": "a key for everything but health and metrics",
    "http-player-calls": "players, sessions and achievements",
    "http-controls": "pause, resume, terminate and restart; what cannot be is refused",
    "http-signals": "kept for whoever has not ended, once a key",
    "http-health": "alive, started, ready, and figures",
    "player-level-curve": "level and xp in integers",
    "player-daily-reward": "reward from the streak",
    "player-reward-day": "the day in the player's zone, strictly increasing",
    "player-gap": "0, 1, more, and backwards",
    "player-level-up": "a grant a level, settled to a fixpoint",
    "player-no-demotion": "a stored level never falls",
    "player-achievements": "evaluated on fresh state until nothing changes",
    "player-accuracy": "compared in integers",
    "player-stats": "each session folded once",
    "player-notifications": "one level_up a run, one an achievement",
    "player-spend": "never below zero",
    "player-inactive-guests": "refused, and deleted after 24 hours",
    "player-who-starts-runs": "a login starts the day's run",
    "player-cleanup": "strictly older than 30 days",
    "player-step-failure": "a finished step stays finished",
    "player-unknown-player": "errored, no retry",
    "player-concurrency": "20 triggers, one reward",
    "player-kill": "killed and redelivered, one reward",
    "billing-dunning": "retries on days after the first failure, missed ones once",
    "billing-hard-declines": "which declines the same card may not be tried after",
    "billing-period": "from the anchor, clamped, on the customer's clocks",
    "billing-renewal-reminder": "in the last seven days",
    "billing-past-due-notices": "five days, and the cancellation",
    "billing-usage": "above nine tenths, and at the limit",
    "billing-transitions": "which status follows which",
    "billing-money": "minor units of a known currency",
    "billing-ledger": "entries of an event sum to zero",
    "billing-one-charge": "a period is charged once, by the provider's own books",
    "billing-this-customer": "a customer's run charges that customer alone",
    "billing-restored": "a database from a backup charges nobody again",
    "maintenance-invariants": "what is broken is found, named, and told once; statuses are mended",
    "maintenance-cache": "an old value is not written back, and nothing stays for ever",
    "maintenance-analytics": "the same numbers twice; a late event changes only its bucket",
    "maintenance-order": "a day is closed before its rows may go",
}

LATER: dict[str, str] = {}
"""Rules of parts that do not exist yet, with the part."""


def shown() -> set[str]:
    """The ids in `pytest.mark.rule(...)` of every test."""
    folder = Path(__file__).parent
    return {rule for path in folder.rglob("test_*.py") for rule in _rules_in(path)}


def _rules_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "rule"
        ):
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value


def main() -> int:
    """Prints the rules without a test; fails for one that is not expected, or no longer."""
    found = shown()
    wrong = [f"{rule}: no such rule" for rule in sorted(found - RULES.keys())]
    wrong += [f"{rule}: no test shows it" for rule in RULES if rule not in found | LATER.keys()]
    wrong += [f"{rule}: has a test, so take it out of LATER" for rule in LATER if rule in found]
    for rule, part in LATER.items():
        print(f"{rule} ({RULES[rule]}) comes with {part}")
    print(f"{len(found & RULES.keys())} of {len(RULES)} rules are shown by tests")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
