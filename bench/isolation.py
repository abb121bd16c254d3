"""What two dead endpoints with a long backlog cost a healthy one."""

from pathlib import Path

from bench import sink
from bench.figures import Figure, Limit, Options, beside
from bench.filling import Filling, fill
from bench.rig import OtherSink, Rig, other_sink
from bench.runs import ANSWER_TO_ARRIVAL, POST_TO_ARRIVAL, flood, processor_figures, spaced, span_figures
from bench.server import GatewayServer, database_of, running, serving

BACKLOG = 200_000
IN_FLIGHT_MAX = 32
"""What the gateway's settings allow one endpoint."""
TIMEOUT_S = 15.0
RATE_PER_S = 100.0
HEALTHY = "the healthy endpoint"


def isolation(rig: Rig, folder: Path, options: Options) -> list[Figure]:
    """A healthy endpoint alone, and beside one that hangs and one that answers 500, 200,000 deliveries behind each."""
    with other_sink(rig, sink.HANGING) as hanging, other_sink(rig, sink.BROKEN) as broken:
        with running(folder, rig.server_core, rig.sink_port) as server:
            counted = server.counted
            alone = _healthy(rig, server, options, "alone")
            dead = [_subscribe(server, one, options) for one in (hanging, broken)]
        fill(database_of(folder), Filling(options.scaled(BACKLOG), dead))
        with serving(folder, rig.server_core, counted) as server:
            backlogs = _healthy(rig, server, options, "beside two backlogs")
            for endpoint in dead:
                server.call("PATCH", f"/api/webhooks/manage/{endpoint}", {"events": "*"})
            shared = _healthy(rig, server, options, "beside two that are owed the same")
        connections = [_connections(hanging, "hangs"), _connections(broken, "answers 500")]
    return [*alone, *beside(backlogs, alone, "alone"), *beside(shared, alone, "alone"), *connections]


def _subscribe(server: GatewayServer, dead: OtherSink, options: Options) -> int:
    """What it is owed is there already, and none of the load is."""
    timeout_s = max(1.0, TIMEOUT_S * min(1.0, options.scale))
    return server.subscribe(dead.port, counted=False, events="complaint", timeout_s=timeout_s)


def _healthy(rig: Rig, server: GatewayServer, options: Options, how: str) -> list[Figure]:
    fast = flood(rig, server, "single", options)
    title = f"{HEALTHY} {how}"
    return [
        Figure(f"{title}, single events", "events/s", [run.events_per_s for run in fast]),
        *(figure for figure in processor_figures(title, fast) if figure.unit == "µs"),
        *span_figures(title, spaced(rig, server, RATE_PER_S, options), POST_TO_ARRIVAL, ANSWER_TO_ARRIVAL),
    ]


def _connections(dead: OtherSink, how: str) -> Figure:
    limit = Limit("attempts in flight for one endpoint", IN_FLIGHT_MAX)
    return Figure(f"connections at once to the one that {how}", "", [dead.connections_max()], limit)
