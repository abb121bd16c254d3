"""What a mapping's `verify` asks of a source: which secrets it may have, and that a request proves itself by each.

`verify` is one scheme of `adapters.signatures`, or a list where the provider lets its customers choose: then a source
has a secret for at least one of them. Whatever secrets a source has, all must be met. Basic credentials can always be
given in addition, since they only take a URL with user and password. `none` trusts every request, and must be said.

The scheme `sns` is met by no secret but by the option `topic_arns`; a source that has it must meet that scheme too.
The same goes for `networks` and the option of that name; where the mapping has no such option, every source must meet
the list that the mapping has.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from adapters.errors import VerificationFailed
from adapters.mapping_file import Place
from adapters.options import Option, option_texts
from adapters.origins import Origins
from adapters.request import NativeRequest
from adapters.signatures import DeclarationInvalid, Scheme, build_scheme
from adapters.signatures.alternatives import AnyOf
from adapters.signatures.carriers import joined
from adapters.signatures.networks import NETWORKS, NETWORKS_OPTION, PUBLISHED, build_networks
from adapters.signatures.sns import SNS, TOPICS_OPTION, SnsMessages

NONE = "none"
_BASIC_AUTH = "basic_auth"
_SENT_AS_THEY_ARE = frozenset({_BASIC_AUTH, "token"})  # in the URL or a header, which some providers sign as well
_NO_OPTIONS: Mapping[str, Any] = {}
_Built = TypeVar("_Built")


class Verification:
    """The schemes of one provider, each with a secret of its own, and SNS and networks where it comes by these."""

    def __init__(
        self,
        schemes: Sequence[Scheme],
        *,
        accepts_api_key: bool,
        sns: SnsMessages | None = None,
        origins: Origins | None = None,
    ) -> None:
        self.accepts_api_key = accepts_api_key
        self.signs = bool(schemes) or sns is not None or origins is not None
        self.by_topic = sns is not None
        self.asks_networks = origins is not None and origins.asks
        self._sns = sns
        self._origins = origins
        self._declared = tuple(scheme.secret_name for scheme in schemes)
        self._address_suffices = not self.by_topic and (self.asks_networks or not schemes)
        self._schemes = {scheme.secret_name: scheme for scheme in schemes}
        self._schemes.setdefault(_BASIC_AUTH, build_scheme({"scheme": "basic"}))
        self._body_readers = [scheme for scheme in self._schemes.values() if scheme.reads_body]
        alone = len(self._declared) == 1 and not accepts_api_key and sns is None and not self.asks_networks
        self._required = self._declared if alone else ()
        self.carriers = joined(scheme.carriers for scheme in self._schemes.values())

    @property
    def secret_names(self) -> list[tuple[str, bool]]:
        """Each secret's name, and whether a source cannot do without it."""
        return [(name, name in self._required) for name in self._schemes]

    @property
    def challenge(self) -> str | None:
        """The WWW-Authenticate header of a refusal, where the provider waits for it before it sends credentials."""
        return next((scheme.challenge for scheme in self._schemes.values() if scheme.challenge), None)

    def needs_body(self, request: NativeRequest, options: Mapping[str, Any] = _NO_OPTIONS) -> bool:
        """Whether the body must be decoded to verify this request; else `verify` takes None for it."""
        for scheme in self._body_readers:
            if scheme.needs_body(request):
                return True
        return self.by_topic and bool(self._topics(options))

    def verify(
        self,
        request: NativeRequest,
        body: Any,
        secrets: Mapping[str, Sequence[str]],
        at: float | None,
        options: Mapping[str, Any] = _NO_OPTIONS,
        certificate: bytes | None = None,
    ) -> str | None:
        """The single-use token, where there is one. Raises `VerificationFailed`.

        `certificate` is what lies at `certificate_url`, where that says that one is needed.
        """
        once: str | None = None
        proven = self._origins is not None and self._origins.verify(request, options) and self._address_suffices
        for name, scheme in self._schemes.items():
            configured = secrets.get(name, ())
            if configured or name in self._required:
                once = scheme.verify(request, body, configured, at) or once
                proven = True
        if self._sns is not None and (topics := self._topics(options)):
            self._sns.verify(request, body, topics, certificate, proven_otherwise=proven)
        elif self.signs and not proven:
            raise VerificationFailed(f"this source has no secret to verify with: give it {' or '.join(self._choices)}")
        return once

    def certificate_url(self, body: Any, options: Mapping[str, Any]) -> str | None:
        """Where the certificate lies that this request is verified with, where one is needed."""
        topics = self._topics(options)
        return self._sns.certificate_url(body, topics) if topics and self._sns is not None else None

    def proves_sender(self, options: Mapping[str, Any], secrets: Mapping[str, Sequence[str]]) -> bool:
        """Whether a request that verified is the doing of someone whom the operator named, and not of any customer."""
        if self.by_topic:
            return bool(self._topics(options))
        if any(isinstance(scheme, AnyOf) and scheme.by_address for scheme in self._schemes.values()):
            return False
        return self.signs and (self._origins is None or self._any_of(secrets))

    def sign(self, request: NativeRequest, body: Any, signing: Mapping[str, str], at: float) -> NativeRequest:
        """The request with a proof for every secret in `signing`: what a signature may cover stands there before it."""
        if self._origins is not None:
            request = self._origins.play(request)
        for name in sorted(self._schemes, key=_SENT_AS_THEY_ARE.__contains__, reverse=True):
            if name in signing:
                request = self._schemes[name].sign(request, body, signing[name], at)
        return request

    def generate(self) -> tuple[dict[str, str], dict[str, str]]:
        """New secrets for a source: what it stores, and what the provider would sign with."""
        names = self._declared[:1]
        made = {name: self._schemes[name].generate() for name in names}
        return {name: stored for name, (stored, _) in made.items()}, {name: key for name, (_, key) in made.items()}

    def check(
        self, secrets: Mapping[str, Sequence[str]], options: Mapping[str, Any] = _NO_OPTIONS
    ) -> list[tuple[str, str]]:
        """What is wrong with the secrets of a source that has these options: (name, sentence)."""
        known = ", ".join(self._schemes)
        wrong = [(name, f"unknown secret; known are {known}") for name in secrets if name not in self._schemes]
        wrong += [(name, "is needed") for name, needed in self.secret_names if needed and not secrets.get(name)]
        if self._declared and not self._does_without(options) and not self._any_of(secrets):
            wrong = wrong or [(self._declared[0], self._one_is_needed)]
        for name, scheme in self._schemes.items():
            wrong += [(name, mistake) for secret in secrets.get(name, ()) if (mistake := _mistake(scheme, secret))]
        return wrong

    def check_options(self, options: Mapping[str, Any], secrets: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
        """What is wrong with the options that verification needs: (name, sentence)."""
        return [*self._check_topics(options, secrets), *self._check_networks(options, secrets)]

    def _check_topics(self, options: Mapping[str, Any], secrets: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
        if self._sns is None:
            return []
        if TOPICS_OPTION not in options:
            needed = f"is needed, unless the source has {' or '.join(self._schemes)} (raw message delivery)"
            return [] if self._any_of(secrets) else [(TOPICS_OPTION, needed)]
        try:
            for topic in self._topics(options):
                self._sns.check_topic(topic)
        except ValueError as mistake:
            return [(TOPICS_OPTION, str(mistake))]
        return []

    def _check_networks(
        self, options: Mapping[str, Any], secrets: Mapping[str, Sequence[str]]
    ) -> list[tuple[str, str]]:
        if self._origins is None:
            return []
        proves = self._declared or self._any_of(secrets) or self._does_without(options) or self._origins.counts(options)
        missing = (NETWORKS_OPTION, f"is needed, unless the source has {' or '.join(self._schemes)}")
        return self._origins.mistakes(options) if proves else [missing]

    @property
    def _choices(self) -> list[str]:
        """What may be configured, in words."""
        asked = ((TOPICS_OPTION, self.by_topic), (NETWORKS_OPTION, self.asks_networks))
        return [*(f"the option {name}" for name, applies in asked if applies), *self._declared]

    @property
    def _one_is_needed(self) -> str:
        instead = f", or the option {NETWORKS_OPTION}" if self.asks_networks else ""
        return f"one of {', '.join(self._declared)} is needed{instead}"

    def _does_without(self, options: Mapping[str, Any]) -> bool:
        """Whether a source with these options needs no secret."""
        return self.accepts_api_key or self.by_topic or (self.asks_networks and NETWORKS_OPTION in options)

    def _topics(self, options: Mapping[str, Any]) -> list[str]:
        return option_texts(options[TOPICS_OPTION]) if self.by_topic and TOPICS_OPTION in options else []

    def _any_of(self, secrets: Mapping[str, Sequence[str]]) -> bool:
        return any(secrets.get(name) for name in self._schemes)


def read_verification(place: Place, accepts_api_key: bool, options: Sequence[Option]) -> Verification:
    """Builds what stands at `verify`, in a mapping that has these options; a mistake is shown at its own key."""
    if not place.is_list and not place.is_section and place.text() == NONE:
        return Verification((), accepts_api_key=accepts_api_key)
    items = place.items()
    topics, origins = ([item for item in items if _is(item, scheme)] for scheme in (SNS, NETWORKS))
    schemes = [_build(item, build_scheme) for item in items if item not in topics and item not in origins]
    names = [scheme.secret_name for scheme in schemes]
    if len(set(names)) != len(names) or len(topics) > 1 or len(origins) > 1:
        raise place.invalid(
            "needs one scheme, or several of which each has another secret (see `any_of` for one secret)"
        )
    asked = {option.name: option.type for option in options}
    sns = next((_build(item, SnsMessages) for item in topics), None)
    if sns is not None and asked.get(TOPICS_OPTION) != "texts":
        raise place.invalid(f"the scheme sns needs the option `{TOPICS_OPTION}` of type texts in `options`")
    return Verification(
        schemes, accepts_api_key=accepts_api_key, sns=sns, origins=_origins(place, origins, asked.get(NETWORKS_OPTION))
    )


def _is(place: Place, scheme: str) -> bool:
    return place.is_section and "scheme" in place.entries() and place.entries()["scheme"].value() == scheme


def _origins(place: Place, found: Sequence[Place], asked: str | None) -> Origins | None:
    """What the scheme `networks` says, if it is there. `asked` is the type of the option, None where there is none."""
    if asked is not None and (not found or asked != "texts"):
        raise place.invalid(
            f"the option `{NETWORKS_OPTION}` is of type texts, and needs the scheme networks in `verify`"
        )
    if not found:
        return None
    listed = _build(found[0], build_networks)
    if asked is None and not listed.published.networks:
        raise found[0].invalid(f"needs `{PUBLISHED}`, or the option `{NETWORKS_OPTION}` in `options`, or both")
    return Origins(listed, asks=asked is not None)


def _build(place: Place, build: Callable[[Any], _Built]) -> _Built:
    try:
        return build(place.value())
    except DeclarationInvalid as mistake:
        raise place.inside(mistake.key).invalid(mistake.message) from None


def _mistake(scheme: Scheme, secret: str) -> str | None:
    try:
        scheme.check_secret(secret)
    except ValueError as mistake:
        return str(mistake)
    return None
