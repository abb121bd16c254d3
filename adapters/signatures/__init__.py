"""How a request proves that its provider sent it: schemes built from declarations, one file per family.

A declaration says in data what a provider's manual says in prose. Svix, for example:

    scheme: hmac
    key: base64
    signed: [{header: svix-id}, ".", {header: svix-timestamp}, ".", raw_body]
    signature: {header: svix-signature, separator: " ", prefix: "v1,"}
    timestamp: {header: svix-timestamp, tolerance_s: 300}

SNS (`adapters.signatures.sns`) stands apart: it needs no secret, but an option of the source and a certificate. So do
networks (`adapters.signatures.networks`) where a source may name its own.
"""

from collections.abc import Callable, Mapping
from typing import Any

from adapters.signatures.alternatives import AnyOf
from adapters.signatures.credentials import BasicCredentials, Token
from adapters.signatures.declaration import Declaration, DeclarationInvalid
from adapters.signatures.networks import NETWORKS, published_networks
from adapters.signatures.public_key import RSA_HASHES, Ecdsa, Ed25519, PublicKey, Rsa
from adapters.signatures.scheme import SECRET_NAMES, Scheme
from adapters.signatures.shared_secret import SharedSecret
from adapters.signatures.sns import SNS

__all__ = ["SCHEMES", "SCHEME_NAMES", "SECRET_NAMES", "DeclarationInvalid", "Scheme", "build_scheme"]


def build_scheme(declaration: Mapping[str, Any]) -> Scheme:
    """The scheme, other than SNS, that `declaration` describes. Raises DeclarationInvalid for what is wrong in it."""
    Declaration(declaration).choice("scheme", SCHEME_NAMES)
    return _build(Declaration(declaration))


def _build(declaration: Declaration) -> Scheme:
    return SCHEMES[declaration.choice("scheme", SCHEMES)](declaration)


def _ed25519(declaration: Declaration) -> Scheme:
    return PublicKey(declaration, Ed25519(prefixed=declaration.choice("key", ("base64", "whpk"), "base64") == "whpk"))


def _rsa(declaration: Declaration) -> Scheme:
    return PublicKey(declaration, Rsa(declaration.choice("algorithm", RSA_HASHES, "sha256")))


def _any_of(declaration: Declaration) -> Scheme:
    entries = declaration.entries("schemes")
    declaration.finish()
    return AnyOf([_build(Declaration(entry, f"{declaration.path('schemes')}[{n}]")) for n, entry in enumerate(entries)])


SCHEMES: dict[str, Callable[[Declaration], Scheme]] = {
    "hmac": SharedSecret,
    "ecdsa": lambda declaration: PublicKey(declaration, Ecdsa()),
    "ed25519": _ed25519,
    "rsa": _rsa,
    "basic": BasicCredentials,
    "token": Token,
    NETWORKS: published_networks,
    "any_of": _any_of,
}

SCHEME_NAMES = (*SCHEMES, SNS)
"""What the `scheme` of a mapping's `verify` may be; inside `any_of` it cannot be SNS."""
