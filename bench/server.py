"""The gateway under test: a real `python -m app serve` on a database of its own, set up through its API."""

import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench.machine import ROOT, on_core, on_every_core
from bench.requests import MAILGUN_SECRET, MAILGUN_SOURCE, SENDGRID_SOURCE, sendgrid_public_key

API_KEY = "bench-admin-key-0001"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
LOG_LINES_SHOWN = 20
_workers_unless_told = [1]


def use_workers(number: int) -> None:
    """Servers have so many workers from now on."""
    _workers_unless_told.append(number)


_OPEN = """
    SELECT 1 FROM (SELECT id FROM delivery WHERE endpoint_id = ?1 AND status = 'pending' AND due_at >= 0 LIMIT 1)
    UNION ALL SELECT 1 FROM (SELECT id FROM delivery WHERE status = 'sending' AND endpoint_id + 0 = ?1 LIMIT 1)
"""
_EVENTS = "SELECT count(*) FROM event WHERE source_id IS NOT NULL"
_BY_STATUS = "SELECT status, count(*) FROM delivery WHERE endpoint_id = ? GROUP BY status"
_ATTEMPTS = """
    SELECT count(*) FROM delivery JOIN attempt ON attempt.delivery_id = delivery.id WHERE delivery.endpoint_id = ?
"""


class ServerBroken(Exception):
    """The server did not start, or does not answer as it should; the message ends with its last log lines."""


class Stored(NamedTuple):
    """What the database holds of providers' events, and of what the counted endpoints are owed of them."""

    events: int
    delivered: int
    unfinished: int
    attempts: int


class GatewayServer:
    """One running server. Made by `running`, or by `serving` on a database that is there."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self.port = port
        self.pid = process.pid
        self.started_ns = time.monotonic_ns()
        self.counted = list[int]()
        """The endpoints whose deliveries a run has to account for."""
        self._process = process
        self._database = database_of(folder)
        self._log = folder / "server.log"

    def call(self, method: str, path: str, document: Any = None) -> Any:
        """Answers one API call's JSON. Raises ServerBroken for anything but 2xx."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
            connection.request(method, path, json.dumps(document) if document else None, headers)
            answer = connection.getresponse()
            body = answer.read()
        if not 200 <= answer.status < 300:
            raise ServerBroken(f"{method} {path} answered {answer.status}: {body[:500]!r}")
        return json.loads(body)

    def wait_until_ready(self) -> None:
        """Returns once the server can commit."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise self._broken(f"the server ended with status {self._process.returncode}")
            try:
                self.call("GET", "/ready")
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise self._broken(f"the server was not ready within {START_TIMEOUT_S:g} s")

    def register(self, sink_port: int) -> None:
        """The two sources and one endpoint that asks for everything."""
        self._create_source(MAILGUN_SOURCE, "mailgun", {"signing_secret": MAILGUN_SECRET})
        self._create_source(SENDGRID_SOURCE, "sendgrid", {"public_key": sendgrid_public_key()})
        self.subscribe(sink_port)

    def subscribe(self, sink_port: int, path: str = "/hook", *, counted: bool = True, **others: Any) -> int:
        """Adds an endpoint, which asks for everything unless `others` say otherwise; its number."""
        asked = {"url": f"http://127.0.0.1:{sink_port}{path}", "events": "*", **others}
        number: int = self.call("POST", "/api/webhooks/manage", asked)["id"]
        if counted:
            self.counted.append(number)
        return number

    def _create_source(self, name: str, provider: str, secrets: dict[str, str]) -> None:
        self.call("POST", "/api/sources", {"name": name, "provider": provider, "secrets": secrets})

    def owes_nothing(self) -> bool:
        """True when no delivery waits or is under way: two short reads of small partial indexes for each endpoint."""
        with self._reading() as database:
            return not any(database.execute(_OPEN, (endpoint,)).fetchone() for endpoint in self.counted)

    def stored(self) -> Stored:
        """Counts everything, row by row."""
        by_status = Counter[str]()
        attempts = 0
        with self._reading() as database:
            events = database.execute(_EVENTS).fetchone()[0]
            for endpoint in self.counted:
                by_status.update(dict(database.execute(_BY_STATUS, (endpoint,))))
                attempts += database.execute(_ATTEMPTS, (endpoint,)).fetchone()[0]
        delivered = by_status.pop("delivered", 0)
        return Stored(events, delivered, by_status.total(), attempts)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, timeout=5)) as database:
            yield database

    def cpu_s(self) -> float | None:
        """Processor time used so far by all threads of all its processes; None where /proc is missing."""
        used = [seconds for pid in self._pids() if (seconds := _cpu_s(pid)) is not None]
        return sum(used) if used else None

    def resident_mib(self) -> list[float]:
        """Memory that is really in use, VmRSS, of the server and of each process it has started; [] without /proc."""
        return [kib / 1024 for pid in self._pids() if (kib := _memory_kib(pid, "VmRSS")) is not None]

    def _pids(self) -> list[str]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [str(self.pid), *(children.read_text().split() if children.exists() else [])]

    def peak_mib(self) -> float | None:
        """The most memory that was ever really in use, VmHWM; None without /proc."""
        kib = _memory_kib(str(self.pid), "VmHWM")
        return None if kib is None else kib / 1024

    def stop(self) -> None:
        """Asks it to end, and insists after a while."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _broken(self, what: str) -> ServerBroken:
        return ServerBroken(f"{what}\n{self.last_log_lines()}")

    def last_log_lines(self) -> str:
        """The end of what the server wrote."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])


def _cpu_s(pid: str) -> float | None:
    status = Path(f"/proc/{pid}/stat")
    if not status.exists():
        return None
    fields = status.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_kib(pid: str, kind: str) -> int | None:
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")), None)


def database_of(folder: Path) -> Path:
    """The database of the server in `folder`."""
    return folder / "mailweir.db"


@contextmanager
def running(folder: Path, core: int | None, sink_port: int, *, workers: int = 0) -> Iterator[GatewayServer]:
    """A server with an empty database in `folder` that delivers everything to the sink."""
    with serving(folder, core, workers=workers) as server:
        server.register(sink_port)
        yield server


@contextmanager
def serving(
    folder: Path, core: int | None, counted: Sequence[int] = (), *, workers: int = 0
) -> Iterator[GatewayServer]:
    """A server on whatever `folder` holds; `counted` are the endpoints there that a run has to account for.

    It has as many `workers` as were asked for by `use_workers`, unless told; several are not kept on one core.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, workers = free_port(), workers or _workers_unless_told[-1]
    command = [sys.executable, "-m", "app", "serve", "--workers", str(workers)]
    with (folder / "server.log").open("ab") as log, on_core(core) if workers == 1 else on_every_core():
        process = subprocess.Popen(command, cwd=folder, env=_environment(folder, port), stdout=log, stderr=log)
    server = GatewayServer(process, port, folder)
    server.counted += counted
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


def _environment(folder: Path, port: int) -> dict[str, str]:
    """Every setting at its default but the folder, the port, the key and the way to loopback."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAILWEIR_")}
    return inherited | {
        "PYTHONPATH": str(ROOT),
        "MAILWEIR_DATABASE_URL": f"sqlite+aiosqlite:///{database_of(folder)}",
        "MAILWEIR_DATA_DIR": str(folder),
        "MAILWEIR_HOST": "127.0.0.1",
        "MAILWEIR_PORT": str(port),
        "MAILWEIR_API_KEY": API_KEY,
        "MAILWEIR_ALLOW_NETWORKS": "127.0.0.0/8",
    }


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
