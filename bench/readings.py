"""The adapters alone: verifying, decoding and normalizing without HTTP or store, and compiling all mappings."""

import itertools
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from adapters.catalog import Catalog
from adapters.request import NativeRequest
from app.cli.greeting import settle_down

BATCH = 500
ROUNDS = 7
_MIX = ("processed", "delivered", "delivered", "open", "click", "delivered", "open", "deferred", "bounce", "dropped")
_numbers = itertools.count()


def measure(pipe: Connection, runs: int) -> None:
    """Sends, per counted run: seconds of processor time to compile all mappings, for a batch, and for one request."""
    began = time.process_time()
    catalog = Catalog.load()
    catalog.all()
    compiled_s = time.process_time() - began
    settle_down()  # as the server does
    batch = _reading(catalog, "sendgrid", [_MIX[number % len(_MIX)] for number in range(BATCH)])
    single = _reading(catalog, "mailgun", ["delivered"])
    pipe.send(
        {
            "compile_s": [compiled_s],
            "batch_s": [_least(batch, times=1) for _ in range(runs)],
            "single_s": [_least(single, times=200) for _ in range(runs)],
        }
    )


def _reading(catalog: Catalog, provider: str, native_types: list[str]) -> Callable[[], None]:
    adapter = catalog.get(provider)
    stored, signing = adapter.generate_secrets()
    secrets = {name: [secret] for name, secret in stored.items()}
    now = time.time()
    request = adapter.sample_request(
        native_types,
        signing=signing,
        url=f"https://mailweir.example.com/api/webhooks/{provider}",
        at=now,
        recipient="ada@example.com",
        unique=lambda: f"{next(_numbers):012d}",
    )

    def read() -> None:
        fresh = NativeRequest(url=request.url, headers=request.headers, body=request.body)
        reading = adapter.read(fresh, secrets, now, round(now * 1000))
        assert len(reading.events) == len(native_types), reading.quarantined

    read()
    return read


def _least(read: Callable[[], Any], *, times: int) -> float:
    """Seconds of processor time for one reading: the least of some rounds, which is the one with least disturbance."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(times):
            read()
        best = min(best, (time.process_time() - began) / times)
    return best
