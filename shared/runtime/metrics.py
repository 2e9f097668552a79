"""What a service counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

DELIVERIES = Counter(
    "workflow_deliveries", "Deliveries by consumer and outcome.", ["consumer", "outcome"]
)
DELIVERY_SECONDS = Histogram(
    "workflow_delivery_seconds", "Machine time from delivery to settlement.", ["consumer"]
)
REQUESTS = Counter(
    "service_requests", "Commands and queries by name and answer.", ["name", "answer"]
)
CRON_STARTS = Counter("cron_starts", "Runs that crons started at their nominal times.")
OUTBOX_UNSENT = Gauge("outbox_unsent_messages", "Messages that wait for the relay.")
NOTICE_LETTERS = Counter(
    "notice_letters", "Attempts to send a notice by channel and outcome.", ["channel", "outcome"]
)
COMPONENT_HEALTH = Gauge(
    "component_health", "1 where the last check passed, 0.5 with a warning, else 0.", ["component"]
)
COMPONENT_CHECK_SECONDS = Gauge(
    "component_check_seconds", "Machine time of the last check.", ["component"]
)
ANALYTICS_FACTS_TOO_LATE = Counter(
    "analytics_facts_too_late", "Facts that came after those of their day were given up."
)
RETENTION_BACKLOG_SECONDS = Gauge(
    "retention_backlog_seconds",
    "How long the oldest row has been overdue that retention left.",
    ["owner", "policy"],
)
DEAD_LETTERS_OPEN = Gauge("dead_letters_open", "Dead letters to be replayed or discarded.")
STATUS_DIFFERENCES = Counter(
    "status_differences",
    "Status keys that were not as their journals have them, by how and by what became of it.",
    ["reason", "outcome"],
)
INVARIANTS_BROKEN = Gauge(
    "invariants_broken", "What breaks an invariant now, by the service that it is in.", ["service"]
)
