"""The README's quick start, word for word: its blocks are run as they stand there, in three terminals of their own."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest

from tests.processes import free_port
from tests.servers import PLAIN

ROOT = Path(__file__).parents[1]
GATEWAY_PORT, RECEIVER_PORT = "8420", "9000"
"""As they stand in the README: what is replaced by free ones, and nothing else."""

WITHIN_S = 60
NEXT_BLOCK = "=== the next block ==="
NOT_LINKED = {"data", "mailweir.toml", ".git"}


def test_the_quick_start_of_the_readme_does_what_it_says(checkout: Path) -> None:
    ports = {GATEWAY_PORT: str(free_port()), RECEIVER_PORT: str(free_port())}
    serve, receive, *calls = [_with_ports(block, ports) for block in _quick_start()]
    environment = _environment(ports)
    with _terminal(serve, checkout, environment, "serve.log") as gateway_log:
        _wait_until(lambda: _is_ready(ports[GATEWAY_PORT]), gateway_log)
        with _terminal(receive, checkout, environment, "receiver.log") as received:
            _wait_until(lambda: _listens(ports[RECEIVER_PORT]), received)
            source, endpoint, trigger, log = _third_terminal(calls, checkout, environment)
            _wait_until(lambda: len(_lines(received)) >= 3, received)
            sleep(0.5)  # for a fourth, which must not come
        assert sorted(line.split()[0] for line in _lines(received)) == ["email.bounced", "email.click", "email.open"]

    assert json.loads(source)["url"] == f"http://127.0.0.1:{ports[GATEWAY_PORT]}/api/webhooks/prod"
    assert json.loads(endpoint)["events"] == "open,click,bounce"
    assert json.loads(trigger)["answer"] == {"received": True}
    events, *deliveries = _documents(log)
    assert sorted(event["type"] for event in events["data"]) == [
        "email.accepted",
        "email.bounced",
        "email.click",
        "email.delivered",
        "email.open",
    ]
    assert len(deliveries) == 3
    assert "Installing" not in gateway_log.read_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh clone, but for its virtual environment, which is this one: every entry is a link to the repository's."""
    if reason := _not_installed():
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    for entry in ROOT.iterdir():
        if entry.name not in NOT_LINKED:
            (tmp_path / entry.name).symlink_to(entry)
    return tmp_path


def _not_installed() -> str | None:
    if not (ROOT / ".venv/bin/mailweir").exists():
        return "the quick start needs .venv, which `make test` makes"
    asked = subprocess.run(["make", "--question", ".venv/.ready-run"], cwd=ROOT, capture_output=True, check=False)
    return "the .venv is older than what it is made from; `make test` renews it" if asked.returncode else None


def _quick_start() -> list[str]:
    readme = (ROOT / "README.md").read_text()
    chapter = re.search(r"^## Quick start$(.*?)^## ", readme, re.MULTILINE | re.DOTALL)
    assert chapter is not None
    return re.findall(r"^```sh\n(.*?)^```$", chapter[1], re.MULTILINE | re.DOTALL)


def _with_ports(block: str, ports: Mapping[str, str]) -> str:
    return re.sub(rf"\b({GATEWAY_PORT}|{RECEIVER_PORT})\b", lambda port: ports[port[0]], block)


def _environment(ports: Mapping[str, str]) -> dict[str, str]:
    """What a new terminal has; MAILWEIR_PORT is there because the quick start takes the default port."""
    ours = ("MAILWEIR_", "PYTHON", "WEBHOOK_", "MAKE", "MFLAGS")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return inherited | {"MAILWEIR_PORT": ports[GATEWAY_PORT], "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


@contextmanager
def _terminal(block: str, folder: Path, environment: Mapping[str, str], log_name: str) -> Iterator[Path]:
    """The block runs while the body does; gives the file with what it prints."""
    log = folder / log_name
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-eu", "-c", block],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield log
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(WITHIN_S)


def _third_terminal(blocks: Sequence[str], folder: Path, environment: Mapping[str, str]) -> list[str]:
    """What each block printed; they share one shell, so that exports of the first hold in the next."""
    ran = subprocess.run(
        ["bash", "-eu", "-c", f"\necho '\n{NEXT_BLOCK}'\n".join(blocks)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return [part.strip() for part in ran.stdout.split(NEXT_BLOCK)]


def _wait_until(condition: Callable[[], bool], log: Path) -> None:
    deadline = monotonic() + WITHIN_S
    while not condition():
        assert monotonic() < deadline, log.read_text()
        sleep(0.05)


def _is_ready(port: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ready", timeout=5, trust_env=False, verify=PLAIN).is_success
    except httpx.TransportError:
        return False


def _listens(port: str) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", int(port))) == 0


def _documents(text: str) -> Iterator[Any]:
    """JSON behind JSON, with or without line ends between them."""
    while text:
        document, end = json.JSONDecoder().raw_decode(text)
        yield document
        text = text[end:].lstrip()


def _lines(log: Path) -> list[str]:
    return log.read_text().splitlines()
