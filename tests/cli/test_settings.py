"""`config` and `migrate`."""

import pytest

from tests.cli.terminal import Shell
from tests.conftest import PostgresServer


def test_config_tells_value_origin_unit_and_meaning(shell: Shell) -> None:
    (shell.folder / "mailweir.toml").write_text("attempt_timeout_s = 7\n")
    ran = shell.mailweir("config", port="9000")
    by_name = {row["setting"]: row for row in ran.rows}
    assert (by_name["MAILWEIR_PORT"]["value"], by_name["MAILWEIR_PORT"]["origin"]) == ("9000", "environment")
    assert by_name["MAILWEIR_ATTEMPT_TIMEOUT_S"]["origin"] == "mailweir.toml"
    assert by_name["MAILWEIR_ATTEMPT_TIMEOUT_S"]["unit"] == "seconds"
    assert by_name["MAILWEIR_HOST"]["origin"] == "default"
    assert all(row["meaning"] for row in ran.rows)


def test_config_shows_no_secret(shell: Shell) -> None:
    hidden = {"api_key": "hidden-admin-key-1", "secret_key": "hidden-secret-key-2"}
    ran = shell.mailweir("config", **hidden, database_url="postgresql+asyncpg://mailweir:hidden-password-3@db/mailweir")
    assert "hidden" not in ran.out
    assert "@db/mailweir" in ran.out


def test_config_on_a_terminal_is_a_table(shell: Shell) -> None:
    seen = shell.on_a_terminal("config")
    assert "Setting" in seen
    assert "The port to listen on." in seen
    assert "{" not in seen


def test_json_can_be_had_on_a_terminal(shell: Shell) -> None:
    assert shell.on_a_terminal("config", "--json").startswith('{"setting":"MAILWEIR_DATABASE_URL"')


def test_migrate_makes_the_database_and_then_finds_nothing_to_do(shell: Shell) -> None:
    first, second = shell.mailweir("migrate"), shell.mailweir("migrate")
    assert (first.code, second.code) == (0, 0)
    assert "is now at revision" in first.out
    assert "Nothing to do" in second.out
    assert (shell.folder / "data" / "mailweir.db").exists()


def test_a_database_that_is_not_there_is_said_to_be_missing(shell: Shell, postgres: PostgresServer) -> None:
    ran = shell.mailweir("migrate", database_url=postgres.url("nosuch"))
    assert ran.code == 2
    assert ran.err.startswith("mailweir: the database cannot be used; check MAILWEIR_DATABASE_URL")
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"port": "abc"}, "MAILWEIR_PORT"),
        ({"database_url": "mysql://db"}, "MAILWEIR_DATABASE_URL"),
        ({"database_url": "postgresql+asyncpg://u:hidden@127.0.0.1:1/x"}, "MAILWEIR_DATABASE_URL"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_in_one_line(shell: Shell, settings: dict[str, str], named: str) -> None:
    ran = shell.mailweir("migrate", **settings)
    assert ran.code == 2
    assert named in ran.err
    assert len(ran.err.splitlines()) == 1
    assert "hidden" not in ran.err
