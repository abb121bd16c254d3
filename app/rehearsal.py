"""A request as a source's own provider would send it, signed with the keys of the source, to try the way through.

That is possible where both sides share a key. Where the provider signs with a private key, or with a certificate of its
own, nobody but the provider can.
"""

import secrets as randomness

from adapters.errors import AdapterError
from adapters.request import NativeRequest
from app.registry import Source

RECIPIENT = "ann@example.com"
UNIQUE_BYTES = 8


class CannotPlay(Exception):
    """There is no sample that this source would take; the message says why, as a sentence."""


def sample_request(source: Source, sample: str, *, url: str, at: float) -> NativeRequest:
    """One signed request with that sample of the mapping, which the source will verify. Raises CannotPlay."""
    adapter, kept = source.adapter, source.secrets or {}
    if adapter is None:
        raise CannotPlay(f"The mapping of {source.provider} is gone, and its samples with it.")
    if source.options.get("topic_arns"):
        raise CannotPlay("Its messages are signed with a certificate of the provider, which nobody else can use.")
    signing = {name: values[0] for name, values in kept.items() if values}
    try:
        request = adapter.sample_request([sample], signing=signing, url=url, at=at, recipient=RECIPIENT, unique=_unique)
        if source.secrets is not None:
            adapter.verify(request, kept, at, options=source.options)
    except (AdapterError, ValueError, TypeError) as refused:
        raise CannotPlay(_why(source, str(refused))) from refused
    return request


def _why(source: Source, refusal: str) -> str:
    if source.secrets and "public_key" in source.secrets:
        return "The provider signs with a private key that the gateway has not: use the provider's own test."
    if source.adapter and source.adapter.accepts_api_key and not any((source.secrets or {}).values()):
        return "This source takes requests that carry an API key, of which the gateway keeps no copy."
    return f"A sample cannot be signed for this source: {refusal}."


def _unique() -> str:
    return randomness.token_hex(UNIQUE_BYTES)
