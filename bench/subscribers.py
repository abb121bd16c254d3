"""Many endpoints: what their filters cost, and what it costs to send each event to ten of them."""

from collections.abc import Sequence
from pathlib import Path

from bench.figures import Figure, Limit, Options
from bench.measures import part_limits
from bench.rig import Rig, Run
from bench.runs import flood
from bench.server import GatewayServer, running

FILTERED = 100
FILTER_TARGET_US = 5.0
FILTERS = (
    "type == 'email.bounced' && data.bounce.class == 'hard' && data.recipient != 'user{n}@example.org'",
    "data.recipient == 'user{n}@example.org'",
    "ends_with(data.recipient, '@customer{n}.example.com')",
    "contains(data.tags, 'campaign-{n}')",
    "data.metadata.customer == '{n}' || data.metadata.order == '{n}'",
)
"""None of them is true of an event of the load, so that nothing but the matching is added."""
FANOUT = 10


def filters(rig: Rig, folder: Path, options: Options) -> list[Figure]:
    """A hundred endpoints with a JMESPath filter each: what one of them adds to an event."""
    with running(folder, rig.server_core, rig.sink_port) as server:
        without = _cpu_us(flood(rig, server, "single", options))
        for number in range(FILTERED):
            _subscribe_filtered(server, rig.sink_port, number)
        filtered = _cpu_us(flood(rig, server, "single", options))
    each = [(more - less) / FILTERED for more, less in zip(filtered, without, strict=True)]
    return [
        Figure("no filters, processor time per event", "µs", without),
        Figure(f"{FILTERED} filters, processor time per event", "µs", filtered),
        Figure("one filter, processor time per event", "µs", each, Limit("the target", FILTER_TARGET_US)),
    ]


def _subscribe_filtered(server: GatewayServer, sink_port: int, number: int) -> None:
    wanted = FILTERS[number % len(FILTERS)].format(n=number)
    server.subscribe(sink_port, f"/filtered/{number}", counted=False, filter=wanted)


def _cpu_us(runs: Sequence[Run]) -> list[float]:
    """Processor time of the server per event; the time that went by where it cannot be told."""
    return [1e6 * (run.seconds if run.server_cpu_s is None else run.server_cpu_s) / run.events for run in runs]


def fanout(rig: Rig, folder: Path, options: Options) -> list[Figure]:
    """Every event to one endpoint, then to ten."""
    posts = part_limits(rig, folder, options, "outbound_posts")["outbound_posts"]
    with running(folder, rig.server_core, rig.sink_port) as server:
        one = flood(rig, server, "single", options)
        for number in range(1, FANOUT):
            server.subscribe(rig.sink_port, f"/hook/{number}")
        ten = flood(rig, server, "single", options)
    return [
        *_fanned_out("to one endpoint", one, 1, posts),
        *_fanned_out(f"to {FANOUT} endpoints", ten, FANOUT, posts),
    ]


def _fanned_out(title: str, runs: Sequence[Run], copies: int, posts_per_s: float) -> list[Figure]:
    limit = Limit("bare POST to the sink", posts_per_s)
    return [
        Figure(f"{title}, events", "events/s", [run.events_per_s for run in runs]),
        Figure(f"{title}, deliveries", "deliveries/s", [copies * run.events_per_s for run in runs], limit),
        Figure(f"{title}, processor time per delivery", "µs", [each / copies for each in _cpu_us(runs)]),
    ]
