"""Pages of the dashboard as a browser asks for them: one by one, or held open beside the live stream.

An open page follows the stream, and asks for itself anew some time after it was told of something, as the modules of
the dashboard do.
"""

import http.client
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from multiprocessing.connection import Connection
from typing import NamedTuple
from urllib.parse import urlencode

from bench.server import API_KEY, ServerBroken

TIMEOUT_S = 60.0
CHUNK_BYTES = 65_536


class Answer(NamedTuple):
    """A page, and how long it took from the request to its last byte."""

    ms: float
    size: int


class OpenPage(NamedTuple):
    """A page, and the stream that it follows."""

    path: str
    stream: str
    refresh_s: float
    """How long after it was told of something it asks for itself."""


def log_in(port: int) -> str:
    """The cookie of a session."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)) as connection:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/login", urlencode({"key": API_KEY}), headers)
        answer = connection.getresponse()
        answer.read()
        cookie = answer.getheader("Set-Cookie")
    if answer.status != 303 or cookie is None:
        raise ServerBroken(f"logging in answered {answer.status}")
    return cookie.partition(";")[0]


def ask(connection: http.client.HTTPConnection, path: str, cookie: str) -> Answer:
    """One page. Raises ServerBroken for anything but 200."""
    began = time.perf_counter()
    connection.request("GET", path, headers={"Cookie": cookie, "Accept": "text/html"})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise ServerBroken(f"GET {path} answered {answer.status}: {body[:500]!r}")
    return Answer(1000 * (time.perf_counter() - began), len(body))


def hold_open(pipe: Connection, port: int, cookie: str, pages: Sequence[OpenPage]) -> None:
    """Holds pages open until it is told to end; sends a word when all streams answer, and how often it asked anew."""
    watched = [_Watched(port, cookie, page) for page in pages]
    for one in watched:
        one.start()
    pipe.send(all(one.began.wait(TIMEOUT_S) for one in watched))
    pipe.recv()
    pipe.send([one.asked for one in watched])


class _Watched:
    """One page: a thread that reads the stream, and one that asks for the page anew."""

    def __init__(self, port: int, cookie: str, page: OpenPage) -> None:
        self.began = threading.Event()
        self.asked = 0
        self._told = threading.Event()
        self._port, self._cookie, self._page = port, cookie, page

    def start(self) -> None:
        for work in (self._follow, self._refresh):
            threading.Thread(target=work, daemon=True).start()

    def _follow(self) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)) as connection:
            connection.request("GET", self._page.stream, headers={"Cookie": self._cookie})
            stream = connection.getresponse()
            stream.read1(CHUNK_BYTES)
            self.began.set()
            while stream.read1(CHUNK_BYTES):
                self._told.set()

    def _refresh(self) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)) as connection:
            while self._told.wait():
                time.sleep(self._page.refresh_s)
                self._told.clear()
                ask(connection, self._page.path, self._cookie)
                self.asked += 1
