"""The real command line in a folder of its own: as a program calls it, as a person does, and as a server."""

import contextlib
import io
import json
import os
import pty
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from app.cli import main

PROJECT = Path(__file__).parents[2]
START_WITHIN_S = 60
MAILWEIR = [sys.executable, "-m", "app"]


@dataclass(frozen=True)
class Ran:
    """What a verb left behind."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def row(self) -> Any:
        (only,) = self.rows
        return only


@dataclass
class Shell:
    """A working folder and the environment that verbs run with there."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict[str, str])

    def mailweir(self, *arguments: str, **settings: str) -> Ran:
        """Runs a verb to its end, in this process: a new one for each would spend its time on imports."""
        out, err = _Pipe(), _Pipe()
        with (
            mock.patch.dict(os.environ, self._environment(settings), clear=True),
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch.object(sys, "argv", ["mailweir", *arguments]),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        return Ran(int(ended.value.code or 0), out.text(), err.text())

    def process(self, *arguments: str, given: str = "", **settings: str) -> Ran:
        """Runs a verb to its end in a process of its own; `given` is its standard input."""
        ran = subprocess.run(
            [*MAILWEIR, *arguments],
            cwd=self.folder,
            env=self._environment(settings),
            input=given,
            capture_output=True,
            text=True,
            timeout=START_WITHIN_S,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def on_a_terminal(self, *arguments: str) -> str:
        """What a person sees of a verb on a wide terminal."""
        ours, theirs = pty.openpty()
        environment = self._environment({}) | {"COLUMNS": "200", "TERM": "xterm"}
        with subprocess.Popen([*MAILWEIR, *arguments], cwd=self.folder, env=environment, stdout=theirs) as process:
            os.close(theirs)
            shown = b"".join(_read_all(ours))
            process.wait(START_WITHIN_S)
        os.close(ours)
        return shown.decode()

    @contextlib.contextmanager
    def serving(self, *arguments: str) -> Iterator[str]:
        """A server for as long as the block lasts; gives what it printed when it was ready."""
        printed = self.folder / "serve.out"
        with printed.open("w") as out, (self.folder / "serve.err").open("a") as err:
            server = subprocess.Popen(
                [*MAILWEIR, "serve", *arguments], cwd=self.folder, env=self._environment({}), stdout=out, stderr=err
            )
        try:
            yield _banner(server, printed)
        finally:
            server.terminate()
            server.wait(START_WITHIN_S)

    def _environment(self, settings: dict[str, str]) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAILWEIR_")}
        ours = {f"MAILWEIR_{name.upper()}": value for name, value in (self.settings | settings).items()}
        return {**inherited, "PYTHONPATH": str(PROJECT), "MAILWEIR_WORKERS": "1", **ours}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def key_in(banner: str) -> str:
    found = re.search(r"mw_live_\S+", banner)
    assert found is not None, banner
    return found.group()


def _banner(server: subprocess.Popen[bytes], printed: Path) -> str:
    """What the server printed; it writes all of it at once."""
    until = time.monotonic() + START_WITHIN_S
    while not printed.stat().st_size:
        assert server.poll() is None, printed.with_suffix(".err").read_text()
        assert time.monotonic() < until
        time.sleep(0.05)
    return printed.read_text()


class _Pipe(io.TextIOWrapper):
    """A standard stream that is no terminal and remembers."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), "utf-8", write_through=True)

    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined]


def _read_all(descriptor: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError):  # what Linux says when the other side of a terminal has closed
        while part := os.read(descriptor, 65_536):
            yield part
