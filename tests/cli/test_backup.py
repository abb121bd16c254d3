"""`mailweir backup`, beside a running gateway."""

import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from app.store.copies import copy_database
from tests.cli.terminal import Shell, free_port


def test_a_backup_made_while_the_gateway_runs_is_whole_and_serves(gateway: Shell, tmp_path: Path) -> None:
    assert gateway.mailweir("sources", "add", "prod", "sendgrid", "--simulated").code == 0
    assert gateway.mailweir("trigger", "sendgrid", "bounce", "--source", "prod").code == 0
    (event,) = gateway.mailweir("events", "list").rows
    ran = gateway.mailweir("backup", "copy.db")
    assert ran.code == 0, ran.err
    assert "secret.key" in ran.err
    copy = gateway.folder / "copy.db"
    assert ran.row == {"file": "copy.db", "bytes": copy.stat().st_size}
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    restored = Shell(tmp_path, {"port": str(free_port()), "api_key": gateway.settings["api_key"]})
    (tmp_path / "data").mkdir()
    shutil.copy(gateway.folder / "data/secret.key", tmp_path / "data")
    shutil.copy(copy, tmp_path / "data/mailweir.db")
    with restored.serving():
        assert restored.mailweir("events", "list").rows == [event]


def test_without_a_name_it_is_called_after_the_time(gateway: Shell) -> None:
    name = gateway.mailweir("backup").row["file"]
    assert name.startswith("mailweir-2")
    assert (gateway.folder / name).exists()


def test_nothing_is_overwritten(gateway: Shell) -> None:
    (gateway.folder / "precious").write_text("precious")
    ran = gateway.mailweir("backup", "precious")
    assert ran.code == 2
    assert "precious is there already" in ran.err
    assert (gateway.folder / "precious").read_text() == "precious"


def test_a_database_that_is_not_there_is_not_made(shell: Shell) -> None:
    ran = shell.mailweir("backup", "copy.db")
    assert ran.code == 2
    assert "data/mailweir.db" in ran.err
    assert list(shell.folder.iterdir()) == []


def test_of_a_copy_that_fails_nothing_stays(shell: Shell) -> None:
    (shell.folder / "data").mkdir()
    (shell.folder / "data/mailweir.db").write_bytes(b"no database" * 100)
    ran = shell.mailweir("backup", "copy.db")
    assert ran.code == 1
    assert "could not be copied" in ran.err
    assert not (shell.folder / "copy.db").exists()


def test_a_folder_that_is_not_there_is_named(gateway: Shell) -> None:
    ran = gateway.mailweir("backup", "nowhere/copy.db")
    assert ran.code == 2
    assert "nowhere/copy.db" in ran.err


def test_for_postgresql_it_says_what_to_do_and_not_the_password(shell: Shell) -> None:
    ran = shell.mailweir("backup", database_url="postgresql+asyncpg://ann:secret@db.example.com:5433/mailweir")
    assert ran.code == 1
    assert "pg_dump --format=custom --file=mailweir.dump postgresql://ann@db.example.com:5433/mailweir" in ran.err
    assert "secret" not in ran.err


def test_a_copy_is_of_one_moment_whoever_writes_meanwhile(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "live.db", isolation_level=None)) as live:
        live.execute("PRAGMA journal_mode=WAL")
        live.execute("CREATE TABLE pair (a, b)")
        live.execute("INSERT INTO pair VALUES (1, 1)")
        live.execute("BEGIN IMMEDIATE")
        live.execute("UPDATE pair SET a = 2")
        copy_database(tmp_path / "live.db", tmp_path / "copy.db")
        live.execute("UPDATE pair SET b = 2")
        live.execute("COMMIT")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT a, b FROM pair").fetchall() == [(1, 1)]


@pytest.mark.parametrize("url", ["mysql://db/mailweir", "nonsense"])
def test_a_url_of_no_database_of_ours_is_refused(shell: Shell, url: str) -> None:
    ran = shell.mailweir("backup", database_url=url)
    assert ran.code == 2
    assert "MAILWEIR_DATABASE_URL" in ran.err
