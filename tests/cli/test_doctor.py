import socket
import sqlite3
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.cli.doctor.database import look_at_database
from app.clock import Clock
from tests.cli.terminal import Ran, Shell, free_port


@pytest.fixture
def quiet(shell: Shell) -> Shell:
    """A shell with a port that nobody uses."""
    shell.settings["port"] = str(free_port())
    return shell


def finding(ran: Ran, check: str) -> Any:
    (found,) = [row for row in ran.rows if row["check"] == check]
    return found


def level(ran: Ran, check: str) -> str:
    return finding(ran, check)["level"]


def test_a_new_folder_is_well_and_stays_untouched(quiet: Shell) -> None:
    ran = quiet.mailweir("doctor")
    assert ran.code == 0, ran.out
    assert "Nothing is wrong" in ran.err
    assert (level(ran, "database"), level(ran, "gateway"), level(ran, "public URL")) == ("warning",) * 3
    assert list(quiet.folder.iterdir()) == []


def test_a_running_gateway_is_well_and_its_post_is_looked_at(gateway: Shell) -> None:
    ran = gateway.mailweir("doctor")
    assert ran.code == 0, ran.out
    assert all(level(ran, check) == "ok" for check in ("database", "journal", "clock", "secret key", "gateway"))
    assert (level(ran, "sources"), level(ran, "endpoints")) == ("warning", "warning")

    for name in ("silent", "spoken", "forged", "open"):
        more = ["--no-verification"] if name == "open" else ["--simulated"]
        assert gateway.mailweir("sources", "add", name, "resend", *more).code == 0
    other = ("--signing-secret", "signing_secret=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    gateway.mailweir("trigger", "resend", "delivered", "--source", "spoken")
    gateway.mailweir("trigger", "resend", "delivered", "--source", "open")
    gateway.mailweir("trigger", "resend", "delivered", "--source", "forged", *other)
    ran = gateway.mailweir("doctor")
    assert ran.code == 1
    assert [level(ran, f"source {name}") for name in ("silent", "spoken", "forged", "open")] == [
        "warning",
        "ok",
        "wrong",
        "warning",
    ]
    assert "did not verify" in finding(ran, "source forged")["says"]
    assert level(ran, "secrets") == "ok"
    gateway.mailweir("trigger", "resend", "delivered", "--source", "forged")
    assert level(gateway.mailweir("doctor"), "source forged") == "warning"
    assert "mailweir receipts list" in gateway.on_a_terminal("doctor")


def test_endpoints_that_are_paused_failing_or_disabled_are_told_apart(gateway: Shell, gone: str) -> None:
    paused = gateway.mailweir("endpoints", "add", "http://127.0.0.1:1/hook", "open", "--inactive").row["id"]
    ended = gateway.mailweir("endpoints", "add", gone, "open").row["id"]
    gateway.mailweir("endpoints", "test", str(ended))
    for _ in range(100):
        if gateway.mailweir("endpoints", "show", str(ended)).row["state"] == "disabled":
            break
    ran = gateway.mailweir("doctor")
    assert level(ran, f"endpoint {paused}") == "ok"
    assert level(ran, f"endpoint {ended}") == "wrong"
    assert f"mailweir endpoints enable {ended}" in finding(ran, f"endpoint {ended}")["mend"]


@pytest.fixture
def gone() -> Iterator[str]:
    """A subscriber that is gone for good."""

    class Gone(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(410)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Gone) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()
        thread.join()


def test_another_secret_key_than_that_of_the_stored_secrets_is_wrong(gateway: Shell) -> None:
    gateway.mailweir("sources", "add", "sealed", "resend", "--simulated")
    ran = gateway.mailweir("doctor", secret_key="another")
    assert (ran.code, level(ran, "secrets")) == (1, "wrong")
    assert "MAILWEIR_SECRET_KEY" in finding(ran, "secrets")["mend"]


def test_a_key_that_others_may_read_is_wrong(quiet: Shell) -> None:
    key = quiet.folder / "data" / "secret.key"
    key.parent.mkdir()
    key.write_text("a key\n")
    key.chmod(0o644)
    ran = quiet.mailweir("doctor")
    assert (ran.code, level(ran, "secret key")) == (1, "wrong")
    assert finding(ran, "secret key")["mend"] == "chmod 600 data/secret.key"
    key.chmod(0o600)
    assert quiet.mailweir("doctor").code == 0


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://hooks.example.com", "ok"),
        ("http://hooks.example.com", "warning"),
        ("https://127.0.0.1:8420", "warning"),
        ("https://10.0.0.7", "warning"),
        ("https://gateway", "warning"),
        ("https://hooks.example.com/mail", "warning"),
        ("hooks.example.com", "wrong"),
    ],
)
def test_the_public_url_has_to_be_one_that_providers_reach(quiet: Shell, url: str, expected: str) -> None:
    assert level(quiet.mailweir("doctor", public_url=url), "public URL") == expected


def test_a_stranger_on_the_port_is_wrong(shell: Shell, gone: str) -> None:
    ran = shell.mailweir("doctor", port=gone.rpartition(":")[2].partition("/")[0])
    assert (ran.code, "no Mailweir" in finding(ran, "gateway")["says"]) == (1, True)


def test_a_server_that_says_nothing_is_no_gateway(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.doctor.machine.ANSWER_WITHIN_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ran = shell.mailweir("doctor", port=str(silent.getsockname()[1]))
    assert level(ran, "gateway") == "wrong"


def test_a_database_of_another_version_or_none_at_all_is_wrong(quiet: Shell) -> None:
    path = quiet.folder / "data" / "mailweir.db"
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        database.execute("INSERT INTO alembic_version VALUES ('0001')")
    database.close()
    ran = quiet.mailweir("doctor")
    assert (ran.code, "mailweir migrate" in finding(ran, "database")["mend"]) == (1, True)
    path.write_bytes(b"no database" * 1000)
    ran = quiet.mailweir("doctor")
    assert (ran.code, level(ran, "database")) == (1, "wrong")


def test_a_mapping_or_setting_that_cannot_be_read_is_wrong(quiet: Shell) -> None:
    (quiet.folder / "own").mkdir()
    (quiet.folder / "own" / "acme.yaml").write_text("provider: [")
    ran = quiet.mailweir("doctor", mappings_dir="own")
    assert (ran.code, "acme.yaml" in finding(ran, "mappings")["says"]) == (1, True)
    ran = quiet.mailweir("doctor", retention_days="-1")
    assert (ran.code, "MAILWEIR_RETENTION_DAYS" in finding(ran, "settings")["says"]) == (1, True)
    assert level(quiet.mailweir("doctor", database_url="mysql://db"), "settings") == "wrong"


class LateClock(Clock):
    """Ten minutes behind."""

    def ms(self) -> int:
        return super().ms() - 600_000


@pytest.mark.anyio
async def test_both_databases_are_looked_at_with_their_clocks(engine: AsyncEngine) -> None:
    assert {found.level for found in await look_at_database(engine, Clock())} == {"ok"}
    (clock,) = [found for found in await look_at_database(engine, LateClock()) if found.check == "clock"]
    assert clock.level == ("ok" if engine.dialect.name == "sqlite" else "wrong")
