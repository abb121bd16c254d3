"""The application as its users run it: a process that listens on a port."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.servers import PLAIN
from tests.web.gateways import ADMIN_KEY

ROOT = Path(__file__).parents[2]
START_S_MAX = 30


@contextmanager
def serving_process(database_url: str, folder: Path) -> Iterator[str]:
    """The URL of a server in a process of its own, once it is ready."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "uvicorn", "--factory", "app.asgi:create_app", "--port", str(port)]
    settings = {
        "MAILWEIR_DATABASE_URL": database_url,
        "MAILWEIR_DATA_DIR": str(folder),
        "MAILWEIR_API_KEY": ADMIN_KEY,
        "MAILWEIR_ALLOW_NETWORKS": "127.0.0.0/8",
        "MAILWEIR_PUBLIC_URL": url,
    }
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings}, stdout=log, stderr=log)
        try:
            _wait_until_ready(url, process, folder / "server.log")
            yield url
        finally:
            process.terminate()
            process.wait(timeout=START_S_MAX)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/ready", verify=PLAIN).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"the server did not start:\n{log.read_text()}")
