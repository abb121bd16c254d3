"""The application as its users run it: a process that listens on a port."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import START_WITHIN_S, free_port, wait_until_ready
from tests.web.gateways import ADMIN_KEY

ROOT = Path(__file__).parents[2]


@contextmanager
def serving_process(database_url: str, folder: Path) -> Iterator[str]:
    """The URL of a server in a process of its own, once it is ready."""
    port = free_port()
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
            wait_until_ready(process, url, folder / "server.log")
            yield url
        finally:
            process.terminate()
            process.wait(timeout=START_WITHIN_S)
