"""Reading a long log: every single filter of the lists of events and deliveries."""

import http.client
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bench.figures import Figure, Options, beside
from bench.filling import AGE_MS, Filling, fill
from bench.requests import MAILGUN_SOURCE, SENDGRID_SOURCE
from bench.rig import Rig
from bench.server import API_KEY, GatewayServer, ServerBroken, database_of, free_port, running, serving

EVENTS, MORE_EVENTS = 1_000_000, 5_000_000
RARE = 20_011
"""One event in so many is of each rare kind: its type, its source, what became of its delivery."""
READ_TIMES = 9
READ_TIMEOUT_S = 60.0

Filters = Mapping[str, Mapping[str, Any]]
"""The query of each, by what it is called."""


def log(rig: Rig, folder: Path, options: Options) -> list[Figure]:
    """The first page of GET /api/events and /api/deliveries by every single filter, of a million events and of five."""
    with running(folder, rig.server_core, rig.sink_port) as server:
        endpoint = server.subscribe(free_port(), counted=False, active=False)  # else what is held would be sent
    few, many = options.scaled(EVENTS), options.scaled(MORE_EVENTS)
    fill(database_of(folder), mixed(few, endpoint))
    short = _read_all(rig, folder, few, endpoint)
    fill(database_of(folder), mixed(many - few, endpoint))
    return [*short, *beside(_read_all(rig, folder, many, endpoint), short, f"{few:,} events")]


def _read_all(rig: Rig, folder: Path, events: int, endpoint: int) -> list[Figure]:
    middle = middle_of(events)
    with serving(folder, rig.server_core) as server:
        newest = server.call("GET", "/api/events?limit=1")["data"][0]
        return [
            *_read(server, f"{events:,} events", "/api/events", event_filters(newest, middle)),
            *_read(server, f"{events:,} events", "/api/deliveries", delivery_filters(endpoint, middle)),
        ]


def middle_of(events: int) -> str:
    """When the event in the middle of so many that are filled in now was made."""
    unix_s = time.time() - (AGE_MS + events / 2) / 1000
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds")


def mixed(events: int, endpoint: int) -> Filling:
    """Events of common and of rare kinds, each delivered once, or not."""
    rare = f"n % {RARE}"
    return Filling(
        events,
        [endpoint],
        event_type=f"""CASE WHEN {rare} = 1 THEN 'email.complaint' WHEN n % 4 = 0 THEN 'email.open'
            WHEN n % 4 = 1 THEN 'email.bounced' ELSE 'email.delivered' END""",
        source=f"CASE WHEN {rare} = 1 THEN '{SENDGRID_SOURCE}' ELSE '{MAILGUN_SOURCE}' END",
        status=f"CASE {rare} WHEN 1 THEN 'failed' WHEN 2 THEN 'held' WHEN 3 THEN 'cancelled' ELSE 'delivered' END",
        status_code=f"CASE WHEN {rare} = 1 THEN 503 ELSE 200 END",
    )


def event_filters(newest: Mapping[str, str], middle: str) -> Filters:
    """Every single filter of the list of events."""
    return {
        "no filter": {},
        "type of a quarter": {"type": "open"},
        "type, rare": {"type": "complaint"},
        "provider of nearly all": {"provider": "mailgun"},
        "provider, rare": {"provider": "sendgrid"},
        "source of nearly all": {"source": MAILGUN_SOURCE},
        "source, rare": {"source": SENDGRID_SOURCE},
        "recipient": {"recipient": newest["recipient"]},
        "email_id": {"email_id": newest["email_id"]},
        "since the middle": {"since": middle},
        "until the middle": {"until": middle},
        "q, a part of all": {"q": "example.net"},
        "q, a part of none": {"q": "nobody"},
        "q, an event's id": {"q": newest["id"]},
    }


def delivery_filters(endpoint: int, middle: str) -> Filters:
    """Every single filter of the list of deliveries."""
    statuses = ("pending", "sending", "delivered", "failed", "held", "cancelled")
    return {
        "no filter": {},
        **{f"status {status}": {"status": status} for status in statuses},
        "status_code of nearly all": {"status_code": 200},
        "status_code, rare": {"status_code": 503},
        "status_code of none": {"status_code": 418},
        "endpoint_id": {"endpoint_id": endpoint},
        "type of a quarter": {"type": "open"},
        "type, rare": {"type": "complaint"},
        "since the middle": {"since": middle},
        "until the middle": {"until": middle},
    }


def _read(server: GatewayServer, title: str, path: str, filters: Filters) -> Iterator[Figure]:
    for name, query in filters.items():
        yield Figure(f"{title}, GET {path}, {name}", "ms", _times_ms(server, f"{path}?{urlencode(query)}"))


def _times_ms(server: GatewayServer, target: str) -> list[float]:
    """From the request to the whole answer, one at a time on a connection kept alive; the first is not counted."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=READ_TIMEOUT_S)) as connection:
        return [_time_ms(connection, target) for _ in range(1 + READ_TIMES)][1:]


def _time_ms(connection: http.client.HTTPConnection, target: str) -> float:
    began = time.perf_counter()
    connection.request("GET", target, headers={"Authorization": f"Bearer {API_KEY}"})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise ServerBroken(f"GET {target} answered {answer.status}: {body[:500]!r}")
    return 1000 * (time.perf_counter() - began)
