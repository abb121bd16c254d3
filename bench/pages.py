"""The dashboard with a long log: how quick and how heavy its pages are, and what pages that are held open cost."""

import http.client
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlencode

from bench.browsing import TIMEOUT_S, Answer, OpenPage, ask, hold_open, log_in
from bench.figures import Figure, Limit, Options
from bench.filling import fill, fill_counts
from bench.logs import EVENTS, Filters, delivery_filters, event_filters, middle_of, mixed
from bench.proof import RunBroken
from bench.rig import Rig, Run, Worker
from bench.runs import WARM_UP_EVENTS, post_events, processor_figures, sized
from bench.server import GatewayServer, database_of, free_port, running, serving

ENDPOINTS = 8
"""Beside the one that the load is counted at; each with a month of roll-ups."""
RANGES = ("24h", "1h", "7d", "30d")
READ_TIMES = 9
FIRST_AFTER_S = 3.0
"""Nobody is at the first page sooner after a start; meanwhile the gateway reads ahead."""
IN_TIME = Limit("the target", 100.0)
LIGHT = Limit("the target", 150.0)
KEPT = Limit("the target", 95.0)
HELD_OPEN = (
    OpenPage("/", "/api/stream", refresh_s=3.0),
    OpenPage("/events", "/api/stream", refresh_s=2.0),
)


def pages(rig: Rig, folder: Path, options: Options) -> list[Figure]:
    """The dashboard with 1,000,000 events: how quick and how heavy its pages are, and what open pages cost."""
    with running(folder, rig.server_core, rig.sink_port) as server:
        counted = server.counted
        # Not active: else what is held would be sent.
        others = [server.subscribe(free_port(), counted=False, active=False) for _ in range(ENDPOINTS)]
    events = options.scaled(EVENTS)
    middle = middle_of(events)
    fill(database_of(folder), mixed(events, others[0]))
    fill_counts(database_of(folder), [1, 2], [*counted, *others])
    with serving(folder, rig.server_core) as server:
        first = _first_views(server)
    with serving(folder, rig.server_core, counted) as server:
        newest = server.call("GET", "/api/events?limit=1")["data"][0]
        figures = [
            *first,
            *(line for name in RANGES for line in _page(server, f"overview of {name}", f"/?range={name}")),
            *_lists(server, "/events", event_filters(newest, middle)),
            *_lists(server, "/deliveries", delivery_filters(others[0], middle)),
        ]
        return [*figures, *_held_open(rig, server, options)]


def _first_views(server: GatewayServer) -> list[Figure]:
    """Of each length of time, the first overview that this server makes."""
    time.sleep(FIRST_AFTER_S)
    cookie = log_in(server.port)
    with _connection(server) as connection:
        return [
            Figure(f"overview of {name}, the first one", "ms", [ask(connection, f"/?range={name}", cookie).ms], IN_TIME)
            for name in RANGES
        ]


def _lists(server: GatewayServer, path: str, filters: Filters) -> Iterator[Figure]:
    for name, query in filters.items():
        yield from _page(server, f"{path}, {name}", f"{path}?{urlencode(query)}")


def _page(server: GatewayServer, title: str, path: str) -> list[Figure]:
    """How long it takes, one at a time on a connection kept alive, the first not counted; and how heavy it is."""
    cookie = log_in(server.port)
    with _connection(server) as connection:
        answers: Sequence[Answer] = [ask(connection, path, cookie) for _ in range(1 + READ_TIMES)][1:]
    return [
        Figure(title, "ms", [answer.ms for answer in answers], IN_TIME),
        Figure(title, "kB", [max(answer.size for answer in answers) / 1000], LIGHT),
    ]


@contextmanager
def _connection(server: GatewayServer) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)) as connection:
        yield connection


def _held_open(rig: Rig, server: GatewayServer, options: Options) -> list[Figure]:
    """Runs without and with open pages, in turn, so that a busy hour of the machine meets both."""
    cookie = log_in(server.port)
    warm_up = post_events(rig, server, "single", options.events or WARM_UP_EVENTS, options)
    events = options.events or sized(warm_up.events_per_s * options.seconds)
    without, beside = list[Run](), list[Run]()
    for _ in range(options.runs):
        without.append(post_events(rig, server, "single", events, options))
        with _open_pages(rig, server, cookie):
            beside.append(post_events(rig, server, "single", events, options))
    kept = [100 * more.events_per_s / less.events_per_s for more, less in zip(beside, without, strict=True)]
    return [
        *_throughput("no page open", without),
        *_throughput("overview and events open", beside),
        Figure("throughput with pages open, of that without", "%", kept, KEPT),
    ]


def _throughput(title: str, runs: Sequence[Run]) -> list[Figure]:
    return [
        Figure(f"{title}, single events", "events/s", [run.events_per_s for run in runs]),
        *processor_figures(title, runs),
    ]


@contextmanager
def _open_pages(rig: Rig, server: GatewayServer, cookie: str) -> Iterator[None]:
    """An overview and a list of events, as two browsers would hold them open."""
    browsers = Worker(hold_open, rig.client_core, server.port, cookie, HELD_OPEN)
    try:
        if not browsers.answer():
            raise RunBroken("the live stream did not begin")
        yield
        browsers.ask("end")
    finally:
        browsers.end()
