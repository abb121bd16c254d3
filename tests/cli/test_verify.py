import base64
import json
import time
from pathlib import Path

import pytest

from app.signer import Signer
from tests.cli.terminal import Shell

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
BODY = b'{"id":"evt_01K3ZZZZZZZZZZZ","type":"email.open"}'


def headers_of(unix_s: int) -> dict[str, str]:
    return Signer([SECRET]).headers(
        webhook_id="evt_01K3ZZZZZZZZZZZ", event_type="email.open", body=BODY, attempt=1, unix_s=unix_s
    )


def dumped(unix_s: int, line_end: str = "\r\n", first: str = "POST /hook HTTP/1.1") -> bytes:
    lines = [first] if first else []
    lines += [f"{name}: {value}" for name, value in headers_of(unix_s).items()]
    return (line_end.join(lines) + line_end * 2).encode() + BODY


@pytest.fixture
def request_file(shell: Shell) -> Path:
    path = shell.folder / "request.txt"
    path.write_bytes(dumped(int(time.time())))
    return path


def test_a_request_as_it_came_is_verified(shell: Shell, request_file: Path) -> None:
    ran = shell.mailweir("verify", str(request_file), "--secret", SECRET)
    assert (ran.code, ran.row["valid"]) == (0, True)
    for line_end, first in (("\n", ""), ("\n", "POST / HTTP/1.1"), ("\r\n", "")):
        request_file.write_bytes(dumped(int(time.time()), line_end, first))
        assert shell.mailweir("verify", str(request_file), "--secret", SECRET).code == 0


def test_standard_input_the_environment_and_a_time_are_taken(shell: Shell) -> None:
    given = dumped(1_772_525_700).decode()
    ran = shell.process("verify", "--at", "2026-03-03T08:15:00Z", given=given)
    assert (ran.code, "no secret" in ran.err) == (2, True)
    path = shell.folder / "r.txt"
    path.write_bytes(given.encode())
    assert shell.mailweir("verify", "r.txt", "--at", "1772525700", "--secret", SECRET).code == 0
    late = shell.mailweir("verify", "r.txt", "--secret", SECRET)
    assert (late.code, late.row["reason"]) == (1, "too_old")
    assert "not authentic (too_old)" in late.err
    assert shell.mailweir("verify", "r.txt", "--secret", SECRET, "--tolerance-s", "1e12").code == 0


def test_headers_and_body_may_come_apart(shell: Shell) -> None:
    (shell.folder / "body.json").write_bytes(BODY)
    given = headers_of(int(time.time()))
    (shell.folder / "headers.txt").write_text("\n".join(f"{name}: {value}" for name, value in given.items()))
    apart = ("verify", "headers.txt", "--body", "body.json", "--secret", SECRET)
    assert shell.mailweir(*apart).code == 0
    moved = shell.mailweir(*apart, "--header", "webhook-id: evt_2")
    assert (moved.code, moved.row["reason"]) == (1, "headers_changed")
    assert shell.mailweir("verify", "headers.txt", "--secret", SECRET).code == 2


def test_json_as_the_log_shows_it_is_taken(shell: Shell) -> None:
    given = headers_of(int(time.time()))
    for body in ({"body": BODY.decode()}, {"body_b64": base64.b64encode(BODY).decode()}):
        (shell.folder / "request.json").write_text(json.dumps({"headers": given, **body}))
        assert shell.mailweir("verify", "request.json", "--secret", SECRET).code == 0


@pytest.mark.parametrize("given", ["{", "{}", '{"headers": []}', '{"headers": {}, "body_b64": "%"}', "no header\n\n"])
def test_what_is_no_request_is_refused(shell: Shell, given: str) -> None:
    (shell.folder / "request.txt").write_text(given)
    assert shell.mailweir("verify", "request.txt", "--secret", SECRET).code == (1 if "\n" in given else 2)


def test_a_private_key_is_refused(shell: Shell, request_file: Path) -> None:
    ran = shell.mailweir("verify", str(request_file), "--secret", "whsk_AAAA")
    assert (ran.code, "private key" in ran.err) == (2, True)


def test_a_person_sees_what_was_looked_at(shell: Shell, request_file: Path) -> None:
    shown = shell.on_a_terminal("verify", str(request_file), "--secret", SECRET)
    assert "webhook-timestamp" in shown
    assert "The webhook is authentic." in shown
