"""What a dead endpoint's million of pending deliveries costs everybody else."""

import time
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
import uvloop

from app.store.engine import open_engine, open_writer
from app.store.leases import Claim, claim_due, find_work
from bench.figures import Figure, Options, beside
from bench.filling import Filling, fill
from bench.proof import RunBroken
from bench.rig import Rig, Worker, told_by
from bench.runs import POST_TO_ANSWER, flood, processor_figures, spaced, span_figures
from bench.server import GatewayServer, database_of, free_port, running, serving

PENDING, PENDING_BEFORE = 1_000_000, 1_000
WAITING = 64
"""Deliveries that the healthy endpoint is owed at the restart."""
RATE_PER_S = 100.0
CLAIMED, ROUNDS = 100, 50
DELIVERED_TIMEOUT_S = 60.0


class _Endpoints(NamedTuple):
    healthy: int
    dead: int


class _Restart(NamedTuple):
    seconds: float
    """From the start of the process until the first of what waits for the healthy endpoint arrives."""
    cpu_s: float
    """Until all of that was delivered and recorded; 0 where it cannot be told."""


def backlog(rig: Rig, folder: Path, options: Options) -> list[Figure]:
    """Accepting, claiming and restarting with 1,000,000 pending deliveries of a dead endpoint, and with 1,000."""
    few, many = options.scaled(PENDING_BEFORE), options.scaled(PENDING)
    with running(folder, rig.server_core, rig.sink_port) as server:
        endpoints = _Endpoints(server.counted[0], server.subscribe(free_port(), events="complaint", counted=False))
    before = _with_pending(rig, folder, options, endpoints, few, few)
    after = _with_pending(rig, folder, options, endpoints, max(1, many - few), many)
    return [*before, *beside(after, before, f"the same with {few:,}")]


def _with_pending(
    rig: Rig, folder: Path, options: Options, endpoints: _Endpoints, added: int, pending: int
) -> list[Figure]:
    """All figures, after so many were added to what the dead endpoint is owed."""
    title = f"{pending:,} pending"
    fill(database_of(folder), Filling(added, [endpoints.dead]))
    looks, claims = _store_alone(rig, folder, endpoints.dead)
    restarts = [_restart(rig, folder, endpoints) for _ in range(options.runs)]
    with serving(folder, rig.server_core, [endpoints.healthy]) as server:
        accepted = span_figures(title, spaced(rig, server, RATE_PER_S, options), POST_TO_ANSWER)
        processor = processor_figures(title, flood(rig, server, "single", options))
    return [
        Figure(f"{title}, a look for due work", "ms", looks),
        Figure(f"{title}, a claim of {CLAIMED}", "ms", claims),
        Figure(f"{title}, from the start to the first delivery", "s", [restart.seconds for restart in restarts]),
        Figure(f"{title}, processor time of a start", "s", [restart.cpu_s for restart in restarts]),
        *accepted,
        *(figure for figure in processor if figure.unit == "µs"),
    ]


def _restart(rig: Rig, folder: Path, endpoints: _Endpoints) -> _Restart:
    fill(database_of(folder), Filling(WAITING, [endpoints.healthy]))
    with serving(folder, rig.server_core, [endpoints.healthy]) as server:
        _wait_until_delivered(rig, server)
        first_ns = min(arrival.at_ns for arrival in rig.sink.ask("take"))
        return _Restart((first_ns - server.started_ns) / 1e9, server.cpu_s() or 0.0)


def _wait_until_delivered(rig: Rig, server: GatewayServer) -> None:
    deadline = time.monotonic() + DELIVERED_TIMEOUT_S
    while rig.sink.ask("count") < WAITING or not server.owes_nothing():
        if time.monotonic() > deadline:
            raise RunBroken(f"what waited was not delivered in {DELIVERED_TIMEOUT_S:g} s\n{server.last_log_lines()}")
        time.sleep(0.02)


def _store_alone(rig: Rig, folder: Path, endpoint: int) -> tuple[list[float], list[float]]:
    """Milliseconds of a look and of a claim, by the gateway's own code, on the server's core and without the server."""
    url = f"sqlite+aiosqlite:///{database_of(folder)}"
    return told_by(Worker(measure_store, rig.server_core, url, endpoint))


def measure_store(pipe: Connection, database_url: str, endpoint: int) -> None:
    """Sends the milliseconds of each look for due work and of each claim, which is taken back."""
    pipe.send(uvloop.run(_measure_store(database_url, endpoint)))


async def _measure_store(database_url: str, endpoint: int) -> tuple[list[float], list[float]]:
    engine = open_engine(database_url)
    writer = await open_writer(engine)
    looks, claims = list[float](), list[float]()
    now = round(time.time() * 1000)
    claim = Claim(endpoint, CLAIMED, node=1, now=now, lease_until=now + 30_000)
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await find_work(engine)
        looks.append(1000 * (time.perf_counter() - began))
        claims.append(await writer.run(partial(_claim_ms, claim=claim)))
    await writer.close()
    await engine.dispose()
    return looks, claims


def _claim_ms(connection: sa.Connection, claim: Claim) -> float:
    """How long it took, without the commit; nothing stays claimed."""
    with connection.begin_nested() as taken:
        began = time.perf_counter()
        claim_due(connection, claim)
        took_ms = 1000 * (time.perf_counter() - began)
        taken.rollback()
    return took_ms
