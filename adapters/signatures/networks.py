"""Proof by the address that a request comes from, for providers that publish theirs.

    scheme: networks
    published: [192.0.2.0/24, "2001:db8::/32"]

Where the mapping has the option `networks`, a source is checked when it says so: by the word `published`, by networks
of its own, or by both. Without that option the published ones hold for every source. An address proves the provider,
not its customer: whoever has an account there may come from the same one.
"""

# ruff: noqa: ARG002  an address covers neither the body nor the time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from adapters.addresses import Network, Ranges, read_network
from adapters.errors import VerificationFailed
from adapters.request import NativeRequest
from adapters.signatures.carriers import NO_PASSWORDS
from adapters.signatures.declaration import Declaration, DeclarationInvalid

NETWORKS = "networks"
NETWORKS_OPTION = "networks"
"""The option of a source that names the networks it takes requests from."""
PUBLISHED = "published"
"""In that option: those that the mapping lists."""

RANGES_CACHED_MAX = 256


class PublishedNetworks:
    """The networks that a provider posts from, as its mapping lists them; none where only sources name some.

    Inside `any_of` they stand in for the secret of the other schemes.
    """

    secret_name = ""
    reads_body = False
    challenge: str | None = None
    carriers = NO_PASSWORDS

    def __init__(self, declaration: Declaration) -> None:
        texts = declaration.entries(PUBLISHED) if PUBLISHED in declaration else []
        networks = [_declared(declaration, index, text) for index, text in enumerate(texts)]
        declaration.finish()
        self.published = Ranges(networks)
        self._chosen = lru_cache(RANGES_CACHED_MAX)(self._read_chosen)

    def needs_body(self, request: NativeRequest) -> bool:
        return False

    def verify(self, request: NativeRequest, body: Any, secrets: Sequence[str], at: float | None) -> str | None:
        check_client(request, self.published)

    def sign(self, request: NativeRequest, body: Any, secret: str, at: float) -> NativeRequest:
        """The request as if it came from the first of the networks."""
        if not self.published.networks:
            return request
        return request.from_client(str(self.published.networks[0].network_address))

    def generate(self) -> tuple[str, str]:
        raise ValueError("an address is no secret")

    def check_secret(self, secret: str) -> None:
        """Anything goes: the secret is that of another scheme."""

    def chosen(self, texts: Sequence[str]) -> Ranges:
        """The networks that a source's option stands for. Raises ValueError with a sentence for the operator."""
        return self._chosen(tuple(texts))

    def _read_chosen(self, texts: Sequence[str]) -> Ranges:
        if PUBLISHED in texts and not self.published.networks:
            raise ValueError(f"this mapping lists no networks, so '{PUBLISHED}' stands for none; name them")
        own = [read_network(text) for text in texts if text != PUBLISHED]
        return Ranges([*(self.published.networks if PUBLISHED in texts else ()), *own])


def build_networks(values: Mapping[str, Any]) -> PublishedNetworks:
    """The scheme where sources may name networks, so that the list may be missing. Raises DeclarationInvalid."""
    declaration = Declaration(values)
    declaration.choice("scheme", (NETWORKS,))
    return PublishedNetworks(declaration)


def published_networks(declaration: Declaration) -> PublishedNetworks:
    """The scheme where no source has a say, so that the list must be there."""
    scheme = PublishedNetworks(declaration)
    if not scheme.published.networks:
        raise declaration.invalid(PUBLISHED, f"the key '{PUBLISHED}' is missing")
    return scheme


def check_client(request: NativeRequest, ranges: Ranges) -> None:
    """Raises VerificationFailed unless the request came from one of the networks."""
    if not request.client:
        raise VerificationFailed("the address that the request came from is not known")
    if not ranges.hold_text(request.client):
        raise VerificationFailed(
            f"{request.client:.60} is in none of the networks that this source takes requests from"
        )


def _declared(declaration: Declaration, index: int, text: object) -> Network:
    key = declaration.path(f"{PUBLISHED}[{index}]")
    if not isinstance(text, str):
        raise DeclarationInvalid(key, "must be text")
    try:
        return read_network(text)
    except ValueError as mistake:
        raise DeclarationInvalid(key, str(mistake)) from None
