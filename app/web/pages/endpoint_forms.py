"""The form of an endpoint: its fields as texts, as they become what the API takes, and back."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from app.store.endpoints import Endpoint
from app.web.endpoint_shapes import EndpointChange, EndpointNew
from app.web.event_words import split_words
from app.web.input import fit
from app.web.problems import FieldError, Problem, invalid

NO_RETRIES = "none"
_TEXTS = ("url", "events", "description", "signature", "ordering", "delivery")
_NUMBERS = ("max_in_flight", "rate_limit_per_s", "timeout_s", "batch_max_events", "batch_max_wait_ms")
_UNITS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
_SPAN = re.compile(r"(?P<number>\d+(\.\d+)?) ?(?P<unit>s|min|h|d)?")
_NUMBER = re.compile(r"\d+(?P<fraction>\.\d+)?")


class EndpointForm(msgspec.Struct):
    """The fields as a person fills them in; empty means the default, or none."""

    url: str = ""
    events: str = "*"
    description: str = ""
    filter: str = ""
    transform: str = ""
    headers: str = ""
    """A line for each, "Name: value"; empty keeps those that there are."""
    drop_headers: str = ""
    signature: str = "hmac"
    secret: str = ""
    max_in_flight: str = ""
    rate_limit_per_s: str = ""
    timeout_s: str = ""
    retry_schedule_s: str = ""
    retry_max_age_s: str = ""
    retry_on: str = ""
    ordering: str = "none"
    delivery: str = "single"
    batch_max_events: str = ""
    batch_max_wait_ms: str = ""


def form_of(endpoint: Endpoint) -> EndpointForm:
    """The form as it is filled in for an endpoint; the values of its headers are not shown."""
    schedule = endpoint.retry_schedule_s
    return EndpointForm(
        url=endpoint.url,
        events=endpoint.events,
        description=endpoint.description,
        filter=endpoint.filter or "",
        transform=endpoint.transform or "",
        signature=endpoint.signature,
        max_in_flight=_text(endpoint.max_in_flight),
        rate_limit_per_s=_text(endpoint.rate_limit_per_s),
        timeout_s=_text(endpoint.timeout_s),
        retry_schedule_s="" if schedule is None else ", ".join(map(span_text, schedule)) or NO_RETRIES,
        retry_max_age_s="" if endpoint.retry_max_age_s is None else span_text(endpoint.retry_max_age_s),
        retry_on=", ".join(map(str, endpoint.retry_on or ())),
        ordering=endpoint.ordering,
        delivery=endpoint.delivery,
        batch_max_events=_text(endpoint.batch_max_events),
        batch_max_wait_ms=_text(endpoint.batch_max_wait_ms),
    )


def new_endpoint(form: EndpointForm) -> EndpointNew:
    """What is to be added. Raises Problem 422."""
    native = _native(form)
    return fit(native | {"secret": form.secret.strip()} if form.secret.strip() else native, EndpointNew)


def changed_endpoint(form: EndpointForm) -> EndpointChange:
    """What is to be changed, which is every field but the secret. Raises Problem 422."""
    return fit(_native(form), EndpointChange)


def errors_by_field(problem: Problem) -> dict[str, str]:
    """The messages beside their fields; what is about no field is under ""."""
    by_field = dict[str, list[str]]()
    for error in problem.errors or [FieldError("", problem.detail)]:
        by_field.setdefault(re.split(r"[.\[]", error.field)[0], []).append(error.message)
    return {field: " ".join(messages) for field, messages in by_field.items()}


def span_text(seconds: float) -> str:
    """A stretch of time in the largest unit that it is a whole number of: 90 s, 10 min, 1 h."""
    for unit, length in reversed(_UNITS.items()):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


def _native(form: EndpointForm) -> dict[str, Any]:
    """As the API takes it; what is none of what is asked for stays a text, of which the API says what it should be."""
    native: dict[str, Any] = {name: getattr(form, name).strip() for name in _TEXTS}
    native |= {name: getattr(form, name).strip() or None for name in ("filter", "transform")}
    native |= {name: _number(getattr(form, name)) for name in _NUMBERS}
    native["retry_max_age_s"] = _seconds(form.retry_max_age_s) if form.retry_max_age_s.strip() else None
    native["retry_schedule_s"] = _schedule(form.retry_schedule_s)
    native["retry_on"] = [_number(word) for word in split_words(form.retry_on)] or None
    if form.headers.strip() or form.drop_headers:
        native["headers"] = _headers(form.headers.splitlines())
    return native


def _number(text: str) -> int | float | str | None:
    text = text.strip()
    found = _NUMBER.fullmatch(text)
    if found is None:
        return text or None
    return float(text) if found["fraction"] else int(text)


def _schedule(text: str) -> list[Any] | None:
    words = split_words(text)
    return [] if words == [NO_RETRIES] else [_seconds(word) for word in words] or None


def _seconds(text: str) -> float | str:
    found = _SPAN.fullmatch(text.strip())
    return float(found["number"]) * _UNITS[found["unit"] or "s"] if found else text


def _headers(lines: Iterable[str]) -> dict[str, str]:
    parts = [line.partition(":") for line in lines if line.strip()]
    if any(not colon for _, colon, _ in parts):
        raise invalid([FieldError("headers", 'must have a line for each header, such as "X-Tenant: north".')])
    names = [name.strip() for name, _, _ in parts]
    if len(set(names)) < len(names):
        raise invalid([FieldError("headers", "names a header twice.")])
    return {name.strip(): value.strip() for name, _, value in parts}


def _text(number: float | None) -> str:
    return "" if number is None else f"{number:g}"
