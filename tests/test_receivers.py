"""The receivers under docs/receivers and the snippets of docs/verifying.md, with what the gateway really sends."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any

import httpx
import pytest

from app.signer import Signer, generate_key_pair, generate_secret, public_key_of
from tests.processes import free_port
from tests.servers import PLAIN

DOCS = Path(__file__).parents[1] / "docs"
RECEIVERS = DOCS / "receivers"
LANGUAGES = ("python", "node", "go", "php")
ON_EVERY_CI_MACHINE = ("node",)
STARTS_WITHIN_S = 60

EVENT_ID = "evt_01M7YP2DS200204"
BODY = b'{"id":"evt_01M7YP2DS200204","type":"email.bounced","data":{"recipient":"ann@example.com"}}'
PRINTED = f"email.bounced ann@example.com {EVENT_ID}"


def signed(secret: str, body: bytes = BODY, at: float | None = None) -> dict[str, str]:
    """The headers of a delivery, as the gateway makes them."""
    return headers_of(Signer([secret]), body, at)


def headers_of(signer: Signer, body: bytes = BODY, at: float | None = None) -> dict[str, str]:
    return signer.headers(
        webhook_id=EVENT_ID, event_type="email.bounced", body=body, attempt=1, unix_s=int(time() if at is None else at)
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_receiver_takes_what_is_signed_and_refuses_everything_else(language: str, tmp_path: Path) -> None:
    secret = generate_secret()
    printed = tmp_path / "printed"
    with listening(language, secret, tmp_path, printed) as url:
        assert post(url, BODY, signed(secret)) == 204
        assert post(url, BODY, signed(generate_secret())) == 401
        assert post(url, BODY.replace(b"ann", b"eve"), signed(secret)) == 401
        assert post(url, BODY, {"X-Webhook-Signature": "é"}) == 401
        assert post(url, BODY, {"X-Webhook-Signature": signed(secret)["X-Webhook-Signature"][:-1]}) == 401
        assert post(url, BODY, {}) == 401
    assert printed.read_text().splitlines() == [PRINTED]


@contextmanager
def listening(language: str, secret: str, folder: Path, printed: Path) -> Iterator[str]:
    """The URL of the language's receiver, once it answers; what it prints goes to `printed`."""
    port = free_port()
    command = command_for(language, port, folder)
    with printed.open("wb") as output, (folder / "complaints").open("wb") as complaints:
        process = subprocess.Popen(
            command, env={**os.environ, "WEBHOOK_SECRET": secret}, stdout=output, stderr=complaints
        )
        try:
            wait_for(port, process)
            yield f"http://127.0.0.1:{port}/hook"
        finally:
            process.terminate()
            process.wait(STARTS_WITHIN_S)


def command_for(language: str, port: int, folder: Path) -> list[str]:
    if language == "python":
        return [sys.executable, str(RECEIVERS / "receiver.py"), str(port)]
    program = installed(language)
    match language:
        case "node":
            return [program, str(RECEIVERS / "receiver.mjs"), str(port)]
        case "go":  # `go run` would leave its child behind when it is ended
            built = folder / "receiver"
            subprocess.run([program, "build", "-o", built, RECEIVERS / "receiver.go"], cwd=folder, check=True)
            return [str(built), str(port)]
        case _:
            return [program, "-S", f"127.0.0.1:{port}", str(RECEIVERS / "receiver.php")]


def installed(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        if program in ON_EVERY_CI_MACHINE and os.environ.get("CI") == "true":
            pytest.fail(f"CI must run the receiver for {program}, and it is not installed")
        pytest.skip(f"{program} is not installed")
    return found


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = monotonic() + STARTS_WITHIN_S
    while monotonic() < deadline and process.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        sleep(0.05)
    raise AssertionError("the receiver did not start")


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    return httpx.post(url, content=body, headers=raw, trust_env=False, verify=PLAIN).status_code


def python_of(heading: str) -> dict[str, Any]:
    """What the first Python block under that heading of docs/verifying.md defines."""
    text = (DOCS / "verifying.md").read_text()
    block = re.search(rf"^#+ {re.escape(heading)}$.*?^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block is not None, heading
    defined: dict[str, Any] = {}
    exec(compile(block[1], f"docs/verifying.md, {heading}", "exec"), defined)  # noqa: S102 - our own page
    return defined


def test_the_python_function_for_the_plain_signature_works() -> None:
    secret = generate_secret()
    is_authentic = python_of("The plain signature")["is_authentic"]
    assert is_authentic(secret, BODY, signed(secret)["X-Webhook-Signature"])
    assert not is_authentic(secret, BODY + b" ", signed(secret)["X-Webhook-Signature"])
    assert not is_authentic(secret, BODY, "é")


@pytest.mark.parametrize("secret", [generate_secret(), "a secret of my own choice"], ids=["generated", "own"])
def test_the_python_function_for_standard_webhooks_works(secret: str) -> None:
    is_authentic = python_of("Standard Webhooks")["is_authentic"]
    assert is_authentic(secret, BODY, signed(secret))
    assert is_authentic(secret, BODY, headers_of(Signer([generate_secret(), secret])))
    assert not is_authentic(secret, BODY, signed(generate_secret()))
    assert not is_authentic(secret, BODY, signed(secret, at=time() - 301))
    assert not is_authentic(secret, BODY, {**signed(secret), "webhook-id": "evt_01M7YP2DS200205"})
    assert not is_authentic(secret, BODY, {**signed(secret), "webhook-timestamp": "soon"})
    assert not is_authentic(secret, BODY, {})


def test_the_python_function_with_the_standardwebhooks_library_works() -> None:
    secret = generate_secret()
    verified = python_of("With a library")["verified"]
    assert verified(secret, BODY, signed(secret))["id"] == EVENT_ID
    assert verified(secret, BODY, signed(generate_secret())) is None
    assert verified(secret, BODY, {}) is None


def test_the_python_function_for_ed25519_works() -> None:
    private = generate_key_pair()[0]
    is_authentic = python_of("Ed25519")["is_authentic"]
    headers = headers_of(Signer([private], "ed25519"))
    assert is_authentic(public_key_of(private), BODY, headers)
    assert not is_authentic(generate_key_pair()[1], BODY, headers)
    assert not is_authentic(public_key_of(private), BODY + b" ", headers)
    assert not is_authentic(public_key_of(private), BODY, {**headers, "webhook-signature": "v1a,AAAA v1,x é"})


def test_the_python_function_for_batches_names_what_it_could_not_take() -> None:
    secret = generate_secret()
    answer = python_of("Batches")["answer"]
    body = b'[{"id":"evt_1"},{"id":"evt_2"}]'
    headers = {name.lower(): value for name, value in signed(secret, body).items()}
    taken = list[str]()

    def handle(event: dict[str, str]) -> None:
        if event["id"] == "evt_2":
            raise ValueError
        taken.append(event["id"])

    assert answer(secret, body, headers, handle) == (200, b'{"failed": ["evt_2"]}')
    assert taken == ["evt_1"]
    assert answer(generate_secret(), body, headers, handle)[0] == 401
    late = {name.lower(): value for name, value in signed(secret, body, at=time() - 301).items()}
    assert answer(secret, body, late, handle)[0] == 401
    assert answer(secret, body, {}, handle)[0] == 401
