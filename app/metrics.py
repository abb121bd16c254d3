"""What the gateway counts, for /metrics: one small function per thing that happens.

Labels come from closed sets (statuses, outcomes, event types, the providers of the catalog), never from a request, so
that a stranger cannot grow them. The counts are of this process, or of all workers where several share the work: each
then counts in files that every one of them can read. A scraper adds up the nodes.
"""

import asyncio
from collections.abc import Iterator
from functools import cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from app import __version__

disable_created_metrics()
_REGISTRY = CollectorRegistry()
_SECONDS_OF_A_COMMIT = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_SECONDS_OF_AN_ATTEMPT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)
_ROWS_OF_A_COMMIT = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2000)

_receipts = Counter(
    "mailweir_receipts", "Provider requests, by what was kept.", ["status", "provider"], registry=_REGISTRY
)
_refusals = Counter(
    "mailweir_inbound_refused", "Provider requests of which nothing was kept.", ["reason"], registry=_REGISTRY
)
_events = Counter("mailweir_events", "New events, by type.", ["type"], registry=_REGISTRY)
_quarantined = Counter(
    "mailweir_quarantined_items", "Items of a batch that could not become events.", ["provider"], registry=_REGISTRY
)
_deliveries = Counter(
    "mailweir_deliveries", "Attempts, by what became of their delivery.", ["outcome"], registry=_REGISTRY
)
_bulk = Counter(
    "mailweir_bulk_deliveries", "Deliveries that bulk jobs made due, by kind of job.", ["kind"], registry=_REGISTRY
)
_attempt_seconds = Histogram(
    "mailweir_attempt_duration_seconds",
    "How long subscribers took to answer.",
    registry=_REGISTRY,
    buckets=_SECONDS_OF_AN_ATTEMPT,
)
_commit_seconds = Histogram(
    "mailweir_commit_duration_seconds",
    "How long a shared commit took.",
    registry=_REGISTRY,
    buckets=_SECONDS_OF_A_COMMIT,
)
_commit_rows = Histogram(
    "mailweir_commit_rows", "How many rows a shared commit carried.", registry=_REGISTRY, buckets=_ROWS_OF_A_COMMIT
)
_removed = Counter(
    "mailweir_removed_rows",
    "Rows that were removed because of their age, by what they were.",
    ["kind"],
    registry=_REGISTRY,
)
_workers = Gauge(
    "mailweir_workers",
    "Processes that share the work, by their part in it.",
    ["role"],
    registry=_REGISTRY,
    multiprocess_mode="livesum",
)
_restarts = Counter(
    "mailweir_worker_restarts", "Workers that took the place of one that had died.", ["role"], registry=_REGISTRY
)
_stream_clients = Gauge(
    "mailweir_stream_clients", "Who follows the live stream.", registry=_REGISTRY, multiprocess_mode="livesum"
)
_stream_dropped = Counter(
    "mailweir_stream_dropped", "Followers that were dropped, by reason.", ["reason"], registry=_REGISTRY
)


class _Stored(Collector):
    """What was counted in the store just now, and is the same whichever worker counts; and the version."""

    def __init__(self) -> None:
        self.backlog: dict[str, int] = {}
        self.active_endpoints = 0
        self.oldest_due_s = 0.0

    def collect(self) -> Iterator[Metric]:
        backlog = GaugeMetricFamily(
            "mailweir_backlog", "Deliveries not finished, by status, over all nodes.", labels=["status"]
        )
        for status, number in self.backlog.items():
            backlog.add_metric([status], number)
        yield backlog
        yield GaugeMetricFamily("mailweir_active_endpoints", "Endpoints that are sent to.", self.active_endpoints)
        yield GaugeMetricFamily(
            "mailweir_oldest_due_seconds", "How long the oldest pending delivery has been due.", self.oldest_due_s
        )
        yield InfoMetricFamily("mailweir_build", "The version that runs.", {"version": __version__})


_stored = _Stored()
_STORED = CollectorRegistry()
_STORED.register(_stored)


def count_receipt(status: str, provider: str) -> None:
    """One provider request was kept as `status` (accepted, duplicate, quarantined, rejected)."""
    _note(_receipts, status, provider)


def count_refusal(reason: str) -> None:
    """One provider request left nothing behind.

    The reason is unknown_source, too_large, too_slow, overload, not_committed, method, unreachable or not_authentic.
    """
    _labelled(_refusals, reason).inc()


def count_events(event_type: str, number: int = 1) -> None:
    """`number` new events of one type were stored."""
    _note(_events, event_type, number=number)


def count_quarantined(provider: str, number: int = 1) -> None:
    """`number` items could not become events."""
    _labelled(_quarantined, provider).inc(number)


def count_attempt(outcome: str, duration_s: float) -> None:
    """One attempt was made; `outcome` is the status its delivery took: delivered, pending (again), failed, held."""
    _note(_deliveries, outcome)
    _attempt_seconds.observe(duration_s)


def count_bulk(kind: str, number: int) -> None:
    """A bulk job (replay, recover_failed, recover_missing) made `number` deliveries due."""
    _labelled(_bulk, kind).inc(number)


def count_commit(rows: int, duration_s: float) -> None:
    """One shared commit was made."""
    _commit_rows.observe(rows)
    _commit_seconds.observe(duration_s)


def count_removed(kind: str, rows: int) -> None:
    """Rows went because of their age; `kind` is receipts, events, deliveries, attempts, drift, jobs or replies."""
    _labelled(_removed, kind).inc(rows)


def set_backlog(deliveries: dict[str, int], active_endpoints: int, oldest_due_s: float) -> None:
    """What the store counted just now: unfinished deliveries by status, endpoints that are sent to, how late we are."""
    _stored.backlog = deliveries
    _stored.active_endpoints = active_endpoints
    _stored.oldest_due_s = oldest_due_s


def set_stream_clients(number: int) -> None:
    """So many follow the live stream."""
    _stream_clients.set(number)


def count_stream_dropped(reason: str) -> None:
    """One follower was dropped: slow, ending, revoked or store."""
    _labelled(_stream_dropped, reason).inc()


def note_worker(role: str, restarts: int) -> None:
    """This process has begun to work, after so many that had its place."""
    _workers.labels(role).set(1)
    if restarts:
        _labelled(_restarts, role).inc()


def exposition(shared_folder: str = "") -> bytes:
    """Everything counted, in the Prometheus text format 0.0.4; by all workers whose files are in that folder."""
    _settle()
    counted = _REGISTRY
    if shared_folder:
        counted = CollectorRegistry()
        MultiProcessCollector(counted, shared_folder)
    return generate_latest(counted) + generate_latest(_STORED)


_noted = dict[tuple[Counter, *tuple[str, ...]], int]()


def _note(counter: Counter, *labels: str, number: int = 1) -> None:
    """Counts what happens with every event; the counter, whose lock costs ten times this, is told a moment later."""
    if not _noted:
        asyncio.get_running_loop().call_soon(_settle)
    key = (counter, *labels)
    _noted[key] = _noted.get(key, 0) + number


def _settle() -> None:
    for (counter, *labels), number in _noted.items():
        _labelled(counter, *labels).inc(number)
    _noted.clear()


@cache
def _labelled(counter: Counter, *labels: str) -> Counter:
    return counter.labels(*labels)
