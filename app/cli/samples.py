"""The events that a mapping can play, and what they become."""

import secrets as randomness
import time

from adapters.adapter import Adapter
from adapters.reader import Reading
from app.cli.given import RECIPIENT

UNIQUE_BYTES = 8


def unique() -> str:
    """Other each time: what ids in samples are made of."""
    return randomness.token_hex(UNIQUE_BYTES)


def read_sample(adapter: Adapter, sample: str) -> Reading:
    """The sample as the gateway would read it, had the provider sent it now."""
    now = time.time()
    request = adapter.sample_request([sample], signing={}, url="", at=now, recipient=RECIPIENT, unique=unique)
    return adapter.read(request, None, None, round(now * 1000))


def unified_type(adapter: Adapter, sample: str) -> str | None:
    """The event type that the sample becomes; None where the mapping ignores it."""
    events = read_sample(adapter, sample).events
    return events[0].type if events else None
