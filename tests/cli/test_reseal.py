"""`mailweir reseal`: after it, the old secret key is not needed any more."""

import pytest

from tests.cli.terminal import Shell, free_port, key_in


@pytest.fixture
def rotating(shell: Shell) -> Shell:
    shell.settings |= {"port": str(free_port()), "secret_key": "the old key"}
    with shell.serving() as banner:
        shell.settings["api_key"] = key_in(banner)
        assert shell.mailweir("sources", "add", "prod", "sendgrid", "--simulated").code == 0
    return shell


def test_a_key_that_was_left_out_is_not_missed(rotating: Shell) -> None:
    ran = rotating.mailweir("reseal", secret_key="the new key,the old key")
    assert ran.code == 0, ran.err
    assert ran.row == {"secrets": 1, "replies": 0}
    assert rotating.mailweir("reseal", secret_key="the new key").row == {"secrets": 0, "replies": 0}
    rotating.settings["secret_key"] = "the new key"
    with rotating.serving():
        assert rotating.mailweir("trigger", "sendgrid", "bounce", "--source", "prod").code == 0


def test_without_the_old_key_nothing_is_changed_and_the_setting_is_named(rotating: Shell) -> None:
    ran = rotating.mailweir("reseal", secret_key="the new key")
    assert ran.code == 2
    assert "MAILWEIR_SECRET_KEY" in ran.err
    assert rotating.mailweir("reseal").row == {"secrets": 0, "replies": 0}
