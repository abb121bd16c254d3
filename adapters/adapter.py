"""One provider, ready for use: verifies its requests, reads them into events, and can play the provider itself."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adapters.closures import is_true
from adapters.decoders import decode
from adapters.errors import AdapterError, DecodeFailed
from adapters.expressions import Scope
from adapters.fields import Read
from adapters.handshake import Answer, Handshake
from adapters.options import Option, check_options
from adapters.reader import ITEM_FAULTS, Quarantined, Reader, Reading
from adapters.request import NativeRequest
from adapters.samples import Samples, native_name, unsigned_request
from adapters.signatures.carriers import Carriers
from adapters.verification import Verification

_NO_FORMAT = "the body is of none of the formats that the mapping describes"
_NO_OPTIONS: Mapping[str, Any] = {}


class Adapter:
    """The compiled form of one mapping file."""

    def __init__(
        self,
        *,
        name: str,
        title: str,
        documentation: Sequence[str],
        decoders: Sequence[str],
        verification: Verification,
        refused_status: int,
        busy_status: int,
        recognize: Read | None,
        readers: Sequence[Reader],
        samples: Samples,
        methods: Sequence[str] = ("POST",),
        handshakes: Sequence[Handshake] = (),
        options: Sequence[Option] = (),
        console: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.title = title
        self.documentation = documentation
        """Pages of the provider about its webhooks."""
        self.console = console
        """What is to be done in the provider's own pages so that it posts to a source, step by step."""
        self.decoders = decoders
        """The forms a body may have, tried in turn."""
        self.verification = verification
        self.refused_status = refused_status
        """The HTTP status for a request that is not authentic."""
        self.busy_status = busy_status
        """The HTTP status that makes this provider try again later."""
        self.methods = methods
        """The HTTP methods by which events come."""
        self.options = options
        """What a source may be told besides its secrets."""
        self.samples = samples.events
        """Native items by native type ("bounce", "bounce/blocked"), with placeholders."""
        self.native_types = tuple(dict.fromkeys(native for reader in readers for native in reader.types))
        self._handshakes = handshakes
        self._asks_by_post = any(handshake.method == "POST" for handshake in handshakes)
        self._recognize = recognize
        self._readers = readers
        self._samples = samples

    @property
    def signs(self) -> bool:
        """Whether the provider can prove its requests, so that a source needs a secret."""
        return self.verification.signs

    @property
    def challenge(self) -> str | None:
        """The WWW-Authenticate header of a refusal, where the provider waits for it before it sends credentials."""
        return self.verification.challenge

    @property
    def accepts_api_key(self) -> bool:
        """Whether a request with one of the gateway's own API keys needs no other proof."""
        return self.verification.accepts_api_key

    @property
    def carriers(self) -> Carriers:
        """Where passwords stand in this provider's requests: what is not to be kept of them."""
        return self.verification.carriers

    @property
    def secret_names(self) -> list[tuple[str, bool]]:
        """Every secret a source of this provider may have, and whether it must."""
        return self.verification.secret_names

    def check_secrets(
        self, secrets: Mapping[str, Sequence[str]], options: Mapping[str, Any] = _NO_OPTIONS
    ) -> list[tuple[str, str]]:
        """What is wrong with the secrets of a new source that has these options: (name, message)."""
        return self.verification.check(secrets, options)

    def check_options(self, options: Mapping[str, Any], secrets: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
        """What is wrong with the options of a source that has these secrets: (name, message)."""
        return check_options(self.options, options) or self.verification.check_options(options, secrets)

    @property
    def answered_methods(self) -> list[str]:
        """The HTTP methods that mean something here: those of events, and those of handshakes."""
        return list(dict.fromkeys([*self.methods, *(handshake.method for handshake in self._handshakes)]))

    def generate_secrets(self) -> tuple[dict[str, str], dict[str, str]]:
        """New secrets: what a source stores, and what signs for it; these differ where the provider has a key pair."""
        return self.verification.generate()

    def unified_types(self, native_type: str) -> set[str]:
        """What the mapping may make of a native type, or of a sample's name."""
        native = native_name(native_type, self.native_types)
        return {rule.type for reader in self._readers for rule in reader.rules_of(native)}

    def names_type(self, native_type: str) -> bool:
        """Whether the mapping says what becomes of a native type."""
        return any(reader.rules_of(native_type) for reader in self._readers)

    def names_key(self, key: str) -> bool:
        """Whether one of the mapping's formats reads that key of its items, or knows it to be of no use."""
        return any(reader.named is None or key in reader.named for reader in self._readers)

    def decode(self, request: NativeRequest) -> Any:
        """The native body, decoded once. Raises `DecodeFailed` when it has none of the declared forms."""
        failures: list[str] = []
        for kind in self.decoders:
            try:
                return decode(kind, request)
            except DecodeFailed as failure:
                failures.append(str(failure))
        raise DecodeFailed("; ".join(dict.fromkeys(failures)))

    def certificate_url(self, request: NativeRequest, options: Mapping[str, Any]) -> str | None:
        """Where the certificate lies without which the request cannot be verified; None for nearly all providers."""
        if not self.verification.by_topic:
            return None
        return self.verification.certificate_url(self._decoded(request), options)

    def verify(
        self,
        request: NativeRequest,
        secrets: Mapping[str, Sequence[str]],
        at: float | None,
        options: Mapping[str, Any] = _NO_OPTIONS,
        certificate: bytes | None = None,
    ) -> str | None:
        """The request's single-use token, where its proof has one.

        The body is decoded only where the proof stands in it: until a request is verified anybody may have sent it.
        Freshness is not checked when `at` (seconds since 1970) is None. Raises `VerificationFailed`.
        """
        body = self._decoded(request) if self.verification.needs_body(request, options) else None
        return self.verification.verify(request, body, secrets, at, options, certificate)

    def read(
        self,
        request: NativeRequest,
        secrets: Mapping[str, Sequence[str]] | None,
        at: float | None,
        received_ms: int,
        options: Mapping[str, Any] = _NO_OPTIONS,
        certificate: bytes | None = None,
    ) -> Reading:
        """Everything the request holds; what cannot be read is in the result as quarantined.

        With `secrets` None the request is taken as authentic. `certificate` is what lies at `certificate_url`. Raises
        `VerificationFailed`, and nothing else.
        """
        once: str | None = None
        if secrets is not None:
            once = self.verify(request, secrets, at, options, certificate)
        body: Any = None
        try:
            body = self.decode(request)
            scope = Scope(request, body)
            reader = self._reader_of(scope)
            reading = _unreadable(_NO_FORMAT) if reader is None else reader.read(scope, received_ms)
        except DecodeFailed as failure:
            reading = _unreadable(str(failure))
        reading.once = once
        if self._asks_by_post:
            reading.answer = self._answer(request, body)
        return reading

    def items(self, request: NativeRequest) -> list[Any]:
        """The native items that `read` makes events of, by their index; none where the body cannot be read."""
        try:
            scope = Scope(request, self.decode(request))
            reader = self._reader_of(scope)
            return [] if reader is None else reader.items(scope)
        except ITEM_FAULTS:
            return []

    def handshake(self, request: NativeRequest) -> Answer | None:
        """The answer to a request that carries no events but tries the URL; None for all others.

        Answers to a POST are for requests that verify; `read` gives them too.
        """
        return self._answer(request, self._decoded(request)) if self._handshakes else None

    def recognizes(self, request: NativeRequest) -> bool:
        """Whether the request looks like one of this provider's, whoever sent it."""
        if self._recognize is None:
            return False
        try:
            body = self.decode(request)
            return is_true(self._recognize(body, Scope(request=request, body=body)))
        except AdapterError:
            return False

    def sample_request(
        self,
        native_types: Sequence[str],
        *,
        signing: Mapping[str, str],
        url: str,
        at: float,
        recipient: str,
        unique: Callable[[], str],
        message: str | None = None,
    ) -> NativeRequest:
        """A request as the provider would send it: native, signed with the secrets in `signing`.

        It is about the message `message`, where a sample names its message; without one, about another each time.
        Raises ValueError for a type without a sample, and for several types where a request carries one event only.
        """
        items = [self._samples.item(native_type) for native_type in native_types]
        request = unsigned_request(
            self._samples, items, url=url, at=at, recipient=recipient, unique=unique, message=message
        )
        return self.verification.sign(request, self.decode(request), signing, at)

    def _decoded(self, request: NativeRequest) -> Any:
        try:
            return self.decode(request)
        except DecodeFailed:
            return None

    def _answer(self, request: NativeRequest, body: Any) -> Answer | None:
        for handshake in self._handshakes:
            try:
                if answer := handshake.answer(request, body):
                    return answer
            except AdapterError:
                continue
        return None

    def _reader_of(self, scope: Scope) -> Reader | None:
        """The first format that the body fits."""
        for reader in self._readers:
            try:
                if reader.when is None or is_true(reader.when(scope.body, scope)):
                    return reader
            except AdapterError:
                continue
        return None


def _unreadable(reason: str) -> Reading:
    return Reading(quarantined=[Quarantined(None, reason)])
