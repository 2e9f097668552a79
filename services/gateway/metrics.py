"""What the gateway counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

REQUESTS = Counter(
    "gateway_requests", "Requests by route and answer.", ["method", "route", "status"]
)
REQUEST_SECONDS = Histogram("gateway_request_seconds", "Machine time of a request.", ["route"])
STARTS = Counter("gateway_starts", "Starts by kind and outcome.", ["kind", "outcome"])
CACHE_READS = Counter(
    "gateway_cache_reads", "Reads through a cache by what came of it.", ["namespace", "outcome"]
)
UNKNOWN = Counter(
    "gateway_unknown_instances",
    "Answers that had to show `unknown`: accepted, but neither waiting nor known to the service.",
    ["kind"],
)
