import re

import httpx
import pytest

from tests.cli.terminal import Shell, free_port
from tests.servers import PLAIN


@pytest.fixture
def port() -> str:
    return str(free_port())


def test_the_first_start_prints_a_link_that_logs_in_once(shell: Shell, port: str) -> None:
    with shell.serving("--port", port) as banner:
        link = link_in(banner)
        assert link.startswith(f"http://127.0.0.1:{port}/?login=")
        assert page_behind(link) == "First steps"
        assert page_behind(link) == "Log in"
    with shell.serving("--port", port) as again:
        assert "?login=" not in again


def test_a_first_start_with_a_key_from_the_settings_prints_the_link_as_well(shell: Shell, port: str) -> None:
    shell.settings["api_key"] = "a-key-of-the-operator"
    with shell.serving("--port", port) as banner:
        assert page_behind(link_in(banner)) == "First steps"


def test_login_makes_another_link_beside_the_running_gateway(shell: Shell, port: str) -> None:
    with shell.serving("--port", port):
        made = shell.mailweir("login", port=port)
        assert made.code == 0
        assert page_behind(link_in(made.out)) == "First steps"


def test_a_link_is_under_the_public_url_and_never_an_address_to_listen_on(shell: Shell, port: str) -> None:
    with shell.serving("--port", port):
        pass
    assert shell.mailweir("login", public_url="https://mail.example/").out.startswith("https://mail.example/?login=")
    assert shell.mailweir("login", host="0.0.0.0", port=port).out.startswith(f"http://127.0.0.1:{port}/?login=")  # noqa: S104 - not to listen on
    assert shell.mailweir("login", host="::", port=port).out.startswith(f"http://[::1]:{port}/?login=")


def test_there_is_no_link_without_a_database(shell: Shell) -> None:
    ran = shell.mailweir("login")
    assert (ran.code, ran.out) == (2, "")
    assert "there is no database" in ran.err


def link_in(text: str) -> str:
    found = re.search(r"http\S+\?login=\S+", text)
    assert found is not None, text
    return found.group()


def page_behind(link: str) -> str:
    """The title of the page that a browser ends up on."""
    with httpx.Client(follow_redirects=True, verify=PLAIN) as browser:
        found = re.search(r"<title>(.*) · Mailweir</title>", browser.get(link).text)
    assert found is not None
    return found[1]
