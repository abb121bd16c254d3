import stat

import pytest

from tests.cli.terminal import Shell, free_port, key_in


@pytest.fixture
def port() -> str:
    return str(free_port())


def test_the_first_start_shows_the_key_and_the_next_one_does_not(shell: Shell, port: str) -> None:
    with shell.serving("--port", port) as first:
        key = key_in(first)
        assert f"http://127.0.0.1:{port}" in first
        assert "sqlite+aiosqlite:///data/mailweir.db" in first
        assert "shown once" in first
        assert shell.mailweir("sources", "list", "--api-key", key, port=port).code == 0
        in_use = shell.process("serve", port=port)
        second = shell.process("serve", port=str(free_port()))
    with shell.serving("--port", port) as again:
        assert "mw_live_" not in again
        assert shell.mailweir("sources", "list", "--api-key", key, port=port).code == 0
    assert (in_use.code, second.code) == (2, 2)
    assert in_use.err.startswith(f"mailweir: port {port} is in use")
    assert second.err.startswith("mailweir: another Mailweir serves from")
    assert stat.S_IMODE((shell.folder / "data" / "secret.key").stat().st_mode) == 0o600


def test_a_key_from_the_settings_is_not_printed(shell: Shell, port: str) -> None:
    shell.settings |= {"api_key": "a-key-of-the-operator", "port": port}
    with shell.serving() as banner:
        assert "a-key-of-the-operator" not in banner
        assert shell.mailweir("endpoints", "list").code == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"database_url": "mysql://db"}, "MAILWEIR_DATABASE_URL"),
        ({"mappings_dir": "nowhere"}, "nowhere: is not a folder"),
        ({"mappings_dir": "nowhere", "workers": "3"}, "nowhere: is not a folder"),
        ({"host": "192.0.2.1"}, "MAILWEIR_HOST"),
        ({"api_key": "short"}, "MAILWEIR_API_KEY"),
    ],
)
def test_a_start_that_fails_says_why_in_one_line(
    shell: Shell, port: str, settings: dict[str, str], message: str
) -> None:
    ran = shell.process("serve", **{"port": port, **settings})
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_wrong_mapping_stops_the_start_with_its_line(shell: Shell, port: str) -> None:
    (shell.folder / "acme.yaml").write_text("provider: acme\nverfy: none\n")
    ran = shell.process("serve", port=port, mappings_dir=".")
    assert ran.code == 2
    assert ran.err == "mailweir: acme.yaml:2: verfy: unknown key 'verfy'; did you mean 'verify'?\n"
