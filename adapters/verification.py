"""What a mapping's `verify` asks of a source: which secrets it may have, and that a request proves itself by each.

`verify` is one scheme of `adapters.signatures`, or a list where the provider lets its customers choose: then a source
has a secret for at least one of them. Whatever secrets a source has, all must be met. Basic credentials can always be
given in addition, since they only take a URL with user and password. `none` trusts every request, and must be said.

The scheme `sns` is met by no secret but by the option `topic_arns`; a source that has it must meet that scheme too.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from adapters.errors import VerificationFailed
from adapters.mapping_file import Place
from adapters.options import option_texts
from adapters.request import NativeRequest
from adapters.signatures import DeclarationInvalid, Scheme, build_scheme
from adapters.signatures.carriers import joined
from adapters.signatures.sns import SNS, TOPICS_OPTION, SnsMessages

NONE = "none"
_BASIC_AUTH = "basic_auth"
_SENT_AS_THEY_ARE = frozenset({_BASIC_AUTH, "token"})  # in the URL or a header, which some providers sign as well
_NO_OPTIONS: Mapping[str, Any] = {}
_Built = TypeVar("_Built")


class Verification:
    """The schemes of one provider, each with a secret of its own, and SNS where it comes by that."""

    def __init__(self, schemes: Sequence[Scheme], *, accepts_api_key: bool, sns: SnsMessages | None = None) -> None:
        self.accepts_api_key = accepts_api_key
        self.signs = bool(schemes) or sns is not None
        self.by_topic = sns is not None
        self._sns = sns
        self._declared = tuple(scheme.secret_name for scheme in schemes)
        self._schemes = {scheme.secret_name: scheme for scheme in schemes}
        self._schemes.setdefault(_BASIC_AUTH, build_scheme({"scheme": "basic"}))
        alone = len(self._declared) == 1 and not accepts_api_key and sns is None
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
        for scheme in self._schemes.values():
            if scheme.needs_body(request):
                return True
        return bool(self._topics(options))

    def verify(
        self,
        request: NativeRequest,
        body: Any,
        secrets: Mapping[str, Sequence[str]],
        at: float | None,
        *,
        options: Mapping[str, Any] = _NO_OPTIONS,
        certificate: bytes | None = None,
    ) -> str | None:
        """The single-use token, where there is one. Raises `VerificationFailed`.

        `certificate` is what lies at `certificate_url`, where that says that one is needed.
        """
        once: str | None = None
        proven = False
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

    def proves_sender(self, options: Mapping[str, Any]) -> bool:
        """Whether a request that verified is the doing of someone whom the operator named, and not of any customer."""
        return bool(self._topics(options)) if self.by_topic else self.signs

    def sign(self, request: NativeRequest, body: Any, signing: Mapping[str, str], at: float) -> NativeRequest:
        """The request with a proof for every secret in `signing`: what a signature may cover stands there before it."""
        for name in sorted(self._schemes, key=_SENT_AS_THEY_ARE.__contains__, reverse=True):
            if name in signing:
                request = self._schemes[name].sign(request, body, signing[name], at)
        return request

    def generate(self) -> tuple[dict[str, str], dict[str, str]]:
        """New secrets for a source: what it stores, and what the provider would sign with."""
        names = self._declared[:1]
        made = {name: self._schemes[name].generate() for name in names}
        return {name: stored for name, (stored, _) in made.items()}, {name: key for name, (_, key) in made.items()}

    def check(self, secrets: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
        """What is wrong with a source's secrets: (name, sentence)."""
        known = ", ".join(self._schemes)
        wrong = [(name, f"unknown secret; known are {known}") for name in secrets if name not in self._schemes]
        wrong += [(name, "is needed") for name, needed in self.secret_names if needed and not secrets.get(name)]
        if self.signs and not self.accepts_api_key and not self.by_topic and not self._any_of(secrets):
            wrong = wrong or [(self._declared[0], f"one of {', '.join(self._declared)} is needed")]
        for name, scheme in self._schemes.items():
            wrong += [(name, mistake) for secret in secrets.get(name, ()) if (mistake := _mistake(scheme, secret))]
        return wrong

    def check_options(self, options: Mapping[str, Any], secrets: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
        """What is wrong with the options that verification needs: (name, sentence)."""
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

    @property
    def _choices(self) -> list[str]:
        """What may be configured, in words."""
        return [*([f"the option {TOPICS_OPTION}"] if self.by_topic else []), *self._declared]

    def _topics(self, options: Mapping[str, Any]) -> list[str]:
        return option_texts(options[TOPICS_OPTION]) if self.by_topic and TOPICS_OPTION in options else []

    def _any_of(self, secrets: Mapping[str, Sequence[str]]) -> bool:
        return any(secrets.get(name) for name in self._schemes)


def read_verification(place: Place, accepts_api_key: bool) -> Verification:
    """Builds what stands at `verify`; a mistake is shown at its own key."""
    if not place.is_list and not place.is_section and place.text() == NONE:
        return Verification((), accepts_api_key=accepts_api_key)
    items = place.items()
    sns = next((_build(item, SnsMessages) for item in items if _is_sns(item)), None)
    schemes = [_build(item, build_scheme) for item in items if not _is_sns(item)]
    names = [scheme.secret_name for scheme in schemes]
    if not items or len(set(names)) != len(names) or len(items) - len(schemes) > 1:
        raise place.invalid(
            "needs one scheme, or several of which each has another secret (see `any_of` for one secret)"
        )
    return Verification(schemes, accepts_api_key=accepts_api_key, sns=sns)


def _is_sns(place: Place) -> bool:
    return place.is_section and "scheme" in place.entries() and place.entries()["scheme"].value() == SNS


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
