"""Adding a provider, as its page says: every file is saved, every command run in turn, every output found."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.processes import KEY, free_port, wait_until_ready

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "adding-a-provider.md").read_text("utf-8")
SERVE = "mailweir serve"
REFUSED = ("could not be read", "cannot be used")
"""What a command says that ends with 1."""

_BLOCK = re.compile(r"^```(json|yaml|sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SAVED_AS = re.compile(r"[Ss]ave (?:it|this) as `([\w.-]+)`")


class Block(NamedTuple):
    """A block of the page; `before` is the prose that leads to it."""

    language: str
    text: str
    before: str


def blocks() -> list[Block]:
    found: list[Block] = []
    end = 0
    for match in _BLOCK.finditer(PAGE):
        found.append(Block(match[1], match[2], PAGE[end : match.start()]))
        end = match.end()
    return found


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of a user who has installed it and has settings of his own for port, key and data."""
    command = tmp_path / "bin" / "mailweir"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m app "$@"\n')
    command.chmod(0o755)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("MAILWEIR_")},
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "MAILWEIR_PORT": str(free_port()),
        "MAILWEIR_API_KEY": KEY,
        "MAILWEIR_DATA_DIR": str(tmp_path / "data"),
        "MAILWEIR_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/data/mailweir.db",
    }


def test_the_page_can_be_followed_to_the_letter(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    steps = blocks()
    serving = next(place for place, block in enumerate(steps) if SERVE in block.text)
    follow(steps[:serving], folder, environment)
    with gateway(steps[serving], folder, environment):
        follow(steps[serving + 1 :], folder, environment)


def follow(steps: Sequence[Block], folder: Path, environment: dict[str, str]) -> None:
    output, refused = "", False
    for block in steps:
        if block.language in ("json", "yaml"):
            (folder / _SAVED_AS.findall(block.before)[-1]).write_text(block.text)
        elif block.language == "sh":
            output, refused = run(block.text, folder, environment)
        else:
            missing = [line for line in block.text.splitlines() if line not in output]
            assert not missing, f"{missing} not in:\n{output}"
            assert refused == any(word in block.text for word in REFUSED)


def run(commands: str, folder: Path, environment: dict[str, str]) -> tuple[str, bool]:
    """Everything that was printed, and whether the last command ended with 1; those before it must not."""
    ran = subprocess.run(
        ["sh", "-e", "-c", commands],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    output = ran.stdout + ran.stderr
    assert ran.returncode in (0, 1), output
    return output, ran.returncode == 1


@contextmanager
def gateway(block: Block, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """The first terminal, until it answers that it is ready."""
    with (folder / "serve.log").open("wb") as log:
        commands = block.text.replace(SERVE, f"exec {SERVE}")
        process = subprocess.Popen(
            ["sh", "-e", "-c", commands], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_until_ready(process, f"http://127.0.0.1:{environment['MAILWEIR_PORT']}", folder / "serve.log")
        yield
    finally:
        process.terminate()
        process.wait(15)


def test_every_command_is_one_that_was_run() -> None:
    commands = "\n".join(block.text for block in blocks() if block.language == "sh")
    assert len(re.findall(r"^mailweir ", commands, re.MULTILINE)) >= 11
    assert all(_SAVED_AS.search(block.before) for block in blocks() if block.language in ("json", "yaml"))
