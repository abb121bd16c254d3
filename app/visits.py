"""What the gateway fetches on a provider's word: the certificates that verify requests, the URLs that give consent.

Which URLs count is the mapping's to say; here they are fetched through the one door out, over https alone. A
certificate is kept for a day. One that could not be had is asked for again after seconds, so that a provider that tries
once more meets either, and a stranger who makes up URLs costs a look-up now and then.
"""

import asyncio
from collections import OrderedDict
from typing import NamedTuple, Protocol

import structlog

from app.clock import Clock
from app.outcome import PostNotes, PostOutcome

log = structlog.get_logger()

TIMEOUT_S = 5.0
"""Short, because the provider waits meanwhile: SNS gives up after 15 seconds."""
CERTIFICATES_MAX = 256
CERTIFICATE_LIFETIME_S = 86_400.0
FAILURE_LIFETIME_S = 5.0
FETCHES_MAX = 16
"""Certificates on their way at once."""


class Door(Protocol):
    """How URLs are fetched: `app.egress`."""

    async def get(self, url: str, *, timeout_s: float) -> PostOutcome:
        """One GET and what came of it; raises nothing for what the network does."""
        ...


class _Kept(NamedTuple):
    pem: bytes | None
    until_s: float


class Visits:
    """Fetches through `door`, and remembers certificates."""

    def __init__(self, door: Door, clock: Clock) -> None:
        self._door = door
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[bytes | None]] = {}

    async def certificate(self, url: str) -> bytes | None:
        """The PEM at `url`; None when it cannot be had now."""
        kept = self._kept.get(url)
        if kept is not None and kept.until_s > self._clock.monotonic():
            self._kept.move_to_end(url)
            return kept.pem
        if url not in self._under_way:
            if len(self._under_way) >= FETCHES_MAX:
                return None
            self._under_way[url] = asyncio.create_task(self._fetch(url))
        return await asyncio.shield(self._under_way[url])

    async def consent(self, url: str) -> str | None:
        """Visits `url`; None when that was answered 2xx, else a sentence that says what happened."""
        outcome = await self._get(url)
        if outcome.status is not None and 200 <= outcome.status < 300:
            return None
        return outcome.error or f"it was answered {outcome.status}"

    async def _fetch(self, url: str) -> bytes | None:
        try:
            outcome = await self._get(url)
            whole = outcome.status == 200 and not outcome.truncated
            if not whole:
                log.warning("certificate.missing", url=url, status_code=outcome.status, error=outcome.error)
            return self._keep(url, outcome.body if whole else None)
        finally:
            del self._under_way[url]

    def _keep(self, url: str, pem: bytes | None) -> bytes | None:
        lifetime_s = FAILURE_LIFETIME_S if pem is None else CERTIFICATE_LIFETIME_S
        self._kept[url] = _Kept(pem, self._clock.monotonic() + lifetime_s)
        self._kept.move_to_end(url)
        while len(self._kept) > CERTIFICATES_MAX:
            self._kept.popitem(last=False)
        return pem

    async def _get(self, url: str) -> PostOutcome:
        if not url.startswith("https://"):
            return PostNotes(0).outcome("only https is visited", "refused_address")
        return await self._door.get(url, timeout_s=TIMEOUT_S)
