"""`mailweir tail` and `mailweir listen` beside a running gateway."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from tests.cli.terminal import Shell, free_port

WITHIN_S = 60
BEGINNING = "evt_000000000000000"


@pytest.fixture
def account(gateway: Shell) -> Shell:
    gateway.mailweir("sources", "add", "live", "sendgrid", "--simulated")
    return gateway


def play(gateway: Shell, events: str, recipient: str) -> None:
    played = gateway.mailweir("trigger", "sendgrid", events, "--source", "live", "--recipient", recipient)
    assert played.code == 0, played.err


@contextmanager
def running(shell: Shell, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The verb in a process, piped; ended at the end."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "app", *arguments],
        cwd=shell.folder,
        env=shell._environment({}) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def next_row(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def test_tail_shows_events_as_subscribers_get_them(account: Shell) -> None:
    play(account, "bounce,click", "tail@example.com")
    ran = account.mailweir("tail", "--after", BEGINNING, "--recipient", "tail@example.com", "--limit", "2")
    assert ran.code == 0, ran.err
    assert {row["type"] for row in ran.rows} == {"email.bounced", "email.click"}
    assert {row["data"]["recipient"] for row in ran.rows} == {"tail@example.com"}


def test_tail_is_a_table_on_a_terminal(account: Shell) -> None:
    play(account, "bounce", "eve@example.com")
    shown = account.on_a_terminal("tail", "--after", BEGINNING, "--q", "eve@", "--limit", "1")
    heading, row = shown.splitlines()[:2]
    assert "Recipient" in heading
    assert row.split()[1:4] == ["email.bounced", "eve@example.com", "live"]
    assert heading.index("Recipient") - heading.index("Type") == 19


def test_tail_ends_quietly_when_it_is_interrupted(account: Shell) -> None:
    with running(account, "tail", "--recipient", "int@example.com", "--after", BEGINNING) as tail:
        play(account, "bounce", "int@example.com")
        assert next_row(tail)["data"]["recipient"] == "int@example.com"
        tail.send_signal(signal.SIGINT)
        assert tail.wait(WITHIN_S) == 0
        assert tail.stderr is not None
        assert tail.stderr.read() == ""


def test_tail_goes_on_after_the_gateway_was_started_anew(tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"port": str(free_port()), "api_key": "mw_live_of_the_test_of_tail"})
    with running(shell, "tail", "--after", BEGINNING) as tail:
        for recipient in ("first@example.com", "second@example.com"):
            with shell.serving():
                shell.mailweir("sources", "add", "live", "sendgrid", "--simulated")
                play(shell, "bounce", recipient)
                assert next_row(tail)["data"]["recipient"] == recipient


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("tail", "--type", "bouncy"), 1, "did you mean"),
        (("tail", "--after", "evt_1"), 1, "is not the id of an event"),
        (("tail", "--api-key", "mw_live_wrong"), 1, "unknown or revoked"),
        (("tail", "--url", "http://127.0.0.1:1"), 1, "no connection to"),
        (("listen", "--forward", "localhost:3000"), 2, "is no URL to post to"),
        (("listen", "--secret", "short"), 2, "16 to 255 characters"),
    ],
)
def test_what_cannot_be_followed_is_told(account: Shell, arguments: tuple[str, ...], code: int, message: str) -> None:
    ran = account.mailweir(*arguments)
    assert ran.code == code
    assert message in ran.err


class _Subscriber(HTTPServer):
    """A program on this machine that remembers what it is sent and answers 202."""

    def __init__(self) -> None:
        self.received = list[tuple[dict[str, str], bytes]]()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/webhook"


class _Handler(BaseHTTPRequestHandler):
    server: _Subscriber

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(202)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        pass


@pytest.fixture
def subscriber() -> Iterator[_Subscriber]:
    with _Subscriber() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_listen_posts_what_comes_signed_with_the_secret_that_it_prints(account: Shell, subscriber: _Subscriber) -> None:
    play(account, "bounce", "fwd@example.com")
    filters = ("--recipient", "fwd@example.com", "--after", BEGINNING, "--limit", "1")
    ran = account.mailweir("listen", "--forward", subscriber.url, *filters)
    assert ran.code == 0, ran.err
    assert (ran.row["status"], ran.row["type"], ran.row["error"]) == (202, "email.bounced", None)
    ((headers, body),) = subscriber.received
    secret = ran.err.split()[-1]
    assert Webhook(secret).verify(body, headers)["data"]["recipient"] == "fwd@example.com"
    assert headers["x-webhook-event"] == "email.bounced"


def test_listen_goes_on_when_nobody_answers(account: Shell) -> None:
    play(account, "bounce", "nobody@example.com")
    filters = ("--recipient", "nobody@example.com", "--after", BEGINNING, "--limit", "1")
    ran = account.mailweir("listen", "--forward", "http://127.0.0.1:1/x", "--secret", "whsec_" + "a" * 44, *filters)
    assert ran.code == 0
    assert ran.row["status"] is None
    assert "refused" in ran.row["error"]


def test_listen_without_a_url_only_lists(account: Shell) -> None:
    play(account, "bounce", "list@example.com")
    ran = account.mailweir("listen", "--recipient", "list@example.com", "--after", BEGINNING, "--limit", "1")
    assert ran.row.keys() == {"id", "type", "recipient"}
    assert "secret" not in ran.err


def test_a_message_and_a_recipient_show_what_follows_from_their_events(account: Shell) -> None:
    play(account, "bounce", "Tim@example.com")
    shown = account.mailweir("recipients", "tim@example.com").row
    assert shown["send"] is False
    assert [reason["reason"] for reason in shown["reasons"]] == ["hard_bounce"]
    email_id = shown["events"][0]["event"]["email_id"]
    assert account.mailweir("messages", email_id).row["state"] == "bounced"
    assert account.mailweir("messages", "nothing").code == 1
    seen = account.on_a_terminal("recipients", "TIM@example.com")
    assert "hard_bounce" in seen
    assert "email.bounced" in seen
