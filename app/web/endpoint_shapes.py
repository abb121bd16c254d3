"""An endpoint as the API takes it and shows it (shapes), and what is checked beyond the types."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from adapters.errors import ExpressionError
from adapters.expressions import Expression
from adapters.grammar import SOURCE_CHARACTERS_MAX
from app import shaping
from app.egress import FRAMING_HEADERS
from app.guard import URL_CHARS_MAX, AddressRefused, Guard
from app.retry import RETRY_WORDS
from app.signer import check_secret
from app.store import endpoints
from app.store.views import HIDDEN
from app.web.event_words import is_known, split_words, unknown_word
from app.web.problems import FieldError, MistakeInExpression, invalid

EVENTS_CHARS_MAX = 2_000
HEADERS_MAX = 20
HEADER_VALUE_CHARS_MAX = 4_096
RETRIES_MAX = 20
RETRY_WAIT_S_MAX = 86_400
RETRY_AGE_S_MAX = 30 * 86_400
RETRY_ON_MAX = 50
BATCH_EVENTS_MAX = 500
BATCH_WAIT_MS_MAX = 60_000
NONE_SHARED = "an ed25519 endpoint has a generated key pair and no shared secret; leave it out."

Url = Annotated[
    str,
    Meta(
        description="Where events are posted to.",
        examples=["https://example.com/hook"],
        extra_json_schema={"format": "uri", "maxLength": URL_CHARS_MAX},
    ),
]
Events = Annotated[
    Annotated[str, Meta(max_length=EVENTS_CHARS_MAX)] | list[str],
    Meta(description="Event types in short or long form, comma-separated; * is all.", examples=["open,click,bounce"]),
]
Secret = Annotated[str, Meta(description="The shared secret that signs.")]
Description = Annotated[str, Meta(max_length=1_000)]
Filter = Annotated[
    Annotated[str, Meta(max_length=SOURCE_CHARACTERS_MAX)] | None,
    Meta(description="JMESPath over the event: deliver when true."),
]
Transform = Annotated[
    Annotated[str, Meta(max_length=SOURCE_CHARACTERS_MAX)] | None,
    Meta(description="JMESPath over the event: yields the body."),
]
Headers = Annotated[
    dict[str, str],
    Meta(description="Sent along with every delivery. Shown by name alone, but to the call that sets them."),
]
Signature = Annotated[
    Literal["hmac", "ed25519"], Meta(description="Standard Webhooks v1 (hmac) or v1a (ed25519, with a key pair).")
]
InFlight = Annotated[int, Meta(ge=1, le=256)]
Rate = Annotated[float, Meta(ge=0.01, le=10_000)]
Timeout = Annotated[float, Meta(ge=1, le=60)]
Schedule = Annotated[
    list[Annotated[float, Meta(ge=1, le=RETRY_WAIT_S_MAX)]],
    Meta(max_length=RETRIES_MAX, description="The waits between attempts; none means one attempt."),
]

RetryMaxAge = Annotated[
    float, Meta(ge=1, le=RETRY_AGE_S_MAX, description="No attempt is made later than this after the first.")
]
RetryOn = Annotated[
    list[
        Annotated[int, Meta(ge=400, le=599)]
        | Annotated[str, Meta(max_length=20, extra_json_schema={"enum": list(RETRY_WORDS)})]
    ],
    Meta(max_length=RETRY_ON_MAX, description="What is tried again, instead of everything but 2xx and 410."),
]
Ordering = Annotated[
    Literal["none", "recipient"],
    Meta(description="recipient: of one recipient's events each waits until the one before it is finished."),
]
DeliveredAs = Annotated[
    Literal["single", "batch"], Meta(description="batch: a request has a JSON array of events, single: one event.")
]
BatchEvents = Annotated[
    int, Meta(ge=1, le=BATCH_EVENTS_MAX, description="The most events of a batch, which does not wait for more.")
]
BatchWait = Annotated[int, Meta(ge=0, le=BATCH_WAIT_MS_MAX, description="How long an event waits for others.")]


class _Options(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What an endpoint may have beside its URL and events; null means the default."""

    secret: Secret | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    filter: Filter | UnsetType = UNSET
    transform: Transform | UnsetType = UNSET
    headers: Headers | UnsetType = UNSET
    signature: Signature | UnsetType = UNSET
    max_in_flight: InFlight | UnsetType | None = UNSET
    rate_limit_per_s: Rate | UnsetType | None = UNSET
    timeout_s: Timeout | UnsetType | None = UNSET
    retry_schedule_s: Schedule | UnsetType | None = UNSET
    retry_max_age_s: RetryMaxAge | UnsetType | None = UNSET
    retry_on: RetryOn | UnsetType | None = UNSET
    ordering: Ordering | UnsetType = UNSET
    delivery: DeliveredAs | UnsetType = UNSET
    batch_max_events: BatchEvents | UnsetType | None = UNSET
    batch_max_wait_ms: BatchWait | UnsetType | None = UNSET
    active: bool | UnsetType = UNSET


class EndpointNew(_Options, kw_only=True, forbid_unknown_fields=True):
    """A registration. A missing secret is generated."""

    url: Url
    events: Events


class EndpointChange(_Options, kw_only=True, forbid_unknown_fields=True):
    """What may be changed; an absent field stays as it is, null takes a limit or an expression away."""

    url: Url | UnsetType = UNSET
    events: Events | UnsetType = UNSET


EndpointInput = EndpointNew | EndpointChange


State = Literal["healthy", "failing", "paused", "disabled"]
"""Sent to; probed by one delivery at a time; inactive because a person wanted that, or because the gateway or its
endpoint did."""


class Endpoint(endpoints.Endpoint, frozen=True, kw_only=True):
    """A registration as it is shown; `events` are in the caller's words."""

    state: State
    failures: int = 0
    """Counted failed attempts in a row."""
    failing_since: str | None = None
    resumes_at: str | None = None
    """Nothing is sent to it before: it is failing, or has asked for a pause."""
    last_error: str | None = None
    public_key: str | None = None
    """whpk_…, what an ed25519 endpoint verifies with."""
    secret: str | UnsetType = UNSET
    """Only in the answer to the call that set or generated it."""


class EnabledEndpoint(Endpoint, frozen=True, kw_only=True):
    """An endpoint that was enabled, and how many held deliveries were cancelled because nobody wanted them."""

    cancelled: int


class EndpointList(msgspec.Struct):
    """Every registration of the environment."""

    webhooks: list[Endpoint]


Check = Callable[[Any], Iterable[str | ExpressionError]]


async def check_endpoint(wanted: EndpointInput, guard: Guard) -> list[FieldError]:
    """Everything wrong with the fields that are there."""
    errors = list(_problems(wanted))
    if wanted.url is not UNSET:
        try:
            await guard.resolve_and_check(wanted.url)
        except AddressRefused as refused:
            errors.insert(0, FieldError("url", f"{refused}."))
    return errors


def _problems(wanted: EndpointInput) -> Iterator[FieldError]:
    checks: dict[str, Check] = {
        "events": _check_events,
        "secret": check_new_secret,
        "filter": _check_expression,
        "transform": _check_expression,
        "headers": _check_headers,
        "retry_on": _check_retry_on,
    }
    for field, check in checks.items():
        value = getattr(wanted, field)
        if value is not UNSET and value is not None:
            for found in check(value):
                yield FieldError(field, found) if isinstance(found, str) else _mistake(field, found)
    if wanted.signature == "ed25519" and wanted.secret is not UNSET:
        yield FieldError("secret", NONE_SHARED)


def _check_events(events: str | list[str]) -> Iterator[str]:
    words = split_words(events)
    if not words:
        yield "name at least one event type, or * for all; GET /api/event-types lists them."
    yield from (unknown_word(word) for word in words if not is_known(word))


def check_new_secret(secret: str) -> Iterator[str]:
    """What is wrong with a shared secret."""
    try:
        check_secret(secret)
    except ValueError as error:
        yield str(error)


def _check_expression(source: str) -> Iterator[ExpressionError]:
    try:
        shaping.compiled(source)
    except ExpressionError as error:
        yield error


def compiled(field: str, source: str | None) -> Expression | None:
    """The filter or transform. Raises Problem 422 that says where its mistake is."""
    if source is None:
        return None
    try:
        return shaping.compiled(source)
    except ExpressionError as error:
        raise invalid([_mistake(field, error)]) from error


def _mistake(field: str, error: ExpressionError) -> MistakeInExpression:
    where = "" if error.position is None else f" (at position {error.position})"
    return MistakeInExpression(field, f"{error}{where}", position=error.position)


def _check_retry_on(retry_on: list[int | str]) -> Iterator[str]:
    for word in retry_on:
        if isinstance(word, str) and word not in RETRY_WORDS:
            yield f'"{word}" is none of the words {", ".join(RETRY_WORDS)}; single statuses are numbers.'
    if 410 in retry_on:
        yield "410 disables the endpoint and is never tried again; leave it out."
    if len(set(retry_on)) < len(retry_on):
        yield "names something twice."


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_VALUE = re.compile(r"[ -~\t]*")
_OURS = FRAMING_HEADERS | {"accept-encoding", "content-encoding", "content-type", "proxy-connection", "user-agent"}
_OUR_PREFIXES = ("webhook-", "x-webhook-")


def _as_servers_read(name: str) -> str:
    """In small letters, and with hyphens: WSGI, CGI and PHP know no difference between those and underscores."""
    return name.lower().replace("_", "-")


def _check_headers(headers: dict[str, str]) -> Iterator[str]:
    if len(headers) > HEADERS_MAX:
        yield f"holds {len(headers)} headers; {HEADERS_MAX} are allowed."
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            yield f'"{name[:100]}" is not a header name; use letters, digits and hyphens.'
        elif value == HIDDEN:
            yield f'give the value of {name} itself: "{HIDDEN}" stands for one that is not shown.'
        elif _as_servers_read(name) in _OURS or _as_servers_read(name).startswith(_OUR_PREFIXES):
            yield f"{name} is set by the gateway; leave it out."
        elif len(value) > HEADER_VALUE_CHARS_MAX or not _VALUE.fullmatch(value):
            yield f"the value of {name} must be printable ASCII of at most {HEADER_VALUE_CHARS_MAX} characters."
    if len({_as_servers_read(name) for name in headers}) < len(headers):
        yield "names a header twice; upper and lower case are the same."
