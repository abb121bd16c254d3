"""What a dead endpoint's million of pending deliveries costs everybody else."""

import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.engine import Writer, open_engine, open_writer
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


class _Backlog(NamedTuple):
    """A database with so many pending deliveries of its dead endpoint."""

    folder: Path
    pending: int
    healthy: int
    dead: int


class _Restart(NamedTuple):
    seconds: float
    """From the start of the process until the first of what waits for the healthy endpoint arrives."""
    cpu_s: float
    """Until all of that was delivered and recorded; 0 where it cannot be told."""


def backlog(rig: Rig, folder: Path, options: Options) -> list[Figure]:
    """Accepting, claiming and restarting with 1,000,000 pending deliveries of a dead endpoint, and with 1,000."""
    few = _filled(rig, folder / "few", options.scaled(PENDING_BEFORE))
    many = _filled(rig, folder / "many", options.scaled(PENDING))
    reads = _store_alone(rig, (few, many))
    before, after = (_figures(rig, each, options, *read) for each, read in zip((few, many), reads, strict=True))
    return [*before, *beside(after, before, f"the same with {few.pending:,}")]


def _filled(rig: Rig, folder: Path, pending: int) -> _Backlog:
    with running(folder, rig.server_core, rig.sink_port) as server:
        dead = server.subscribe(free_port(), events="complaint", counted=False)
        made = _Backlog(folder, pending, server.counted[0], dead)
    fill(database_of(folder), Filling(pending, [dead]))
    return made


def _figures(
    rig: Rig, backlog: _Backlog, options: Options, looks: Sequence[float], claims: Sequence[float]
) -> list[Figure]:
    """All figures, those of the store alone included."""
    title = f"{backlog.pending:,} pending"
    restarts = [_restart(rig, backlog) for _ in range(options.runs)]
    with serving(backlog.folder, rig.server_core, [backlog.healthy]) as server:
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


def _restart(rig: Rig, backlog: _Backlog) -> _Restart:
    fill(database_of(backlog.folder), Filling(WAITING, [backlog.healthy]))
    with serving(backlog.folder, rig.server_core, [backlog.healthy]) as server:
        _wait_until_delivered(rig, server)
        first_ns = min(arrival.at_ns for arrival in rig.sink.ask("take"))
        return _Restart((first_ns - server.started_ns) / 1e9, server.cpu_s() or 0.0)


def _wait_until_delivered(rig: Rig, server: GatewayServer) -> None:
    deadline = time.monotonic() + DELIVERED_TIMEOUT_S
    while rig.sink.ask("count") < WAITING or not server.owes_nothing():
        if time.monotonic() > deadline:
            raise RunBroken(f"what waited was not delivered in {DELIVERED_TIMEOUT_S:g} s\n{server.last_log_lines()}")
        time.sleep(0.02)


_Reads = tuple[list[float], list[float]]
"""Milliseconds of looks for due work, and of claims."""


def _store_alone(rig: Rig, backlogs: Iterable[_Backlog]) -> list[_Reads]:
    """By the gateway's own code, on the server's core and without the server; of each in turn, in the same minute."""
    stores = [(f"sqlite+aiosqlite:///{database_of(each.folder)}", each.dead) for each in backlogs]
    return told_by(Worker(measure_stores, rig.server_core, stores))


def measure_stores(pipe: Connection, stores: Sequence[tuple[str, int]]) -> None:
    """Sends how long each look and each claim took, which is taken back, by database and endpoint."""
    pipe.send(uvloop.run(_measure_stores(stores)))


async def _measure_stores(stores: Sequence[tuple[str, int]]) -> list[_Reads]:
    async with AsyncExitStack() as closing:
        opened = [await _open(closing, *store) for store in stores]
        reads: list[_Reads] = [([], []) for _ in opened]
        for _ in range(ROUNDS):
            for (engine, writer, claim), (looks, claims) in zip(opened, reads, strict=True):
                began = time.perf_counter()
                await find_work(engine)
                looks.append(1000 * (time.perf_counter() - began))
                claims.append(await writer.run(partial(_claim_ms, claim=claim)))
    return reads


async def _open(closing: AsyncExitStack, database_url: str, endpoint: int) -> tuple[AsyncEngine, Writer, Claim]:
    engine = open_engine(database_url)
    closing.push_async_callback(engine.dispose)
    writer = await open_writer(engine)
    closing.push_async_callback(writer.close)
    now = round(time.time() * 1000)
    return engine, writer, Claim(endpoint, CLAIMED, node=1, now=now, lease_until=now + 30_000)


def _claim_ms(connection: sa.Connection, claim: Claim) -> float:
    """How long it took, without the commit; nothing stays claimed."""
    with connection.begin_nested() as taken:
        began = time.perf_counter()
        claim_due(connection, claim)
        took_ms = 1000 * (time.perf_counter() - began)
        taken.rollback()
    return took_ms
