"""The gateway as its users run it: a process of its own, on a port, with its data in a folder."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import httpx

from tests.servers import PLAIN

ROOT = Path(__file__).parents[1]
KEY = "mw_live_for_the_tests"
START_WITHIN_S = 30


class Process:
    """One run of `mailweir serve`."""

    def __init__(self, folder: Path, port: int, settings: dict[str, str]) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MAILWEIR_")},
            "MAILWEIR_PORT": str(port),
            "MAILWEIR_API_KEY": KEY,
            "MAILWEIR_DATA_DIR": str(folder),
            "MAILWEIR_DATABASE_URL": f"sqlite+aiosqlite:///{folder}/mailweir.db",
            "MAILWEIR_ALLOW_NETWORKS": "127.0.0.0/8",
            "MAILWEIR_WORKERS": "1",
            **settings,
        }
        self.log = (folder / "serve.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve"], cwd=ROOT, env=self.environment, stdout=self.log, stderr=self.log
        )

    def workers(self) -> list[int]:
        """The processes that it has started; none where one does everything, or the system does not tell."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()] if children.exists() else []

    def kill(self) -> None:
        """The end without warning: nothing is flushed, nothing is told. Workers end by themselves."""
        workers = self.workers()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        wait_until_gone(workers)
        self.log.close()

    def stop(self) -> None:
        """The orderly end."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Until what it serves under the URL is ready; shows its log where that never happens."""
    deadline = monotonic() + START_WITHIN_S
    while process.poll() is None and monotonic() < deadline:
        try:
            if httpx.get(f"{url}/ready", timeout=2, verify=PLAIN).status_code == 200:
                return
        except httpx.TransportError:
            sleep(0.02)
    raise AssertionError(f"the gateway did not start:\n{log.read_text()}")


def is_alive(pid: int) -> bool:
    """Whether that process still runs; one that nobody has buried yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(pids: list[int]) -> None:
    deadline = monotonic() + START_WITHIN_S
    while alive := [pid for pid in pids if is_alive(pid)]:
        assert monotonic() < deadline, f"{alive} still run"
        sleep(0.005)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def started(folder: Path, port: int | None = None, **settings: str) -> Process:
    """A gateway that is ready; the caller stops or kills it."""
    process = Process(folder, port or free_port(), settings)
    try:
        wait_until_ready(process.process, process.url, folder / "serve.log")
    except BaseException:
        process.kill()
        raise
    return process


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Process]:
    """A gateway that is ready, stopped at the end."""
    process = started(folder, **settings)
    try:
        yield process
    finally:
        process.stop()


@contextmanager
def client(gateway: Process) -> Iterator[httpx.Client]:
    """An HTTP client with the admin key."""
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=gateway.url, headers=headers, timeout=30, verify=PLAIN) as http:
        yield http
