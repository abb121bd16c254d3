"""A folder for verbs that need no server, and one gateway for a module's tests of those that do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Shell, free_port, key_in


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell beside a running gateway, with the key that its first start printed."""
    shell = Shell(tmp_path_factory.mktemp("gateway"), {"port": str(free_port()), "allow_networks": "127.0.0.0/8"})
    with shell.serving() as banner:
        shell.settings["api_key"] = key_in(banner)
        yield shell
