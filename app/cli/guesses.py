"""Guesses at a provider's payload: where its items are, what names their type, and where the unified fields stand."""

import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from adapters.errors import MapFailed
from adapters.events import canonical_type
from adapters.times import time_reader

DEPTH_MAX = 5
TYPE_DEPTH_MAX = 3

Way = tuple[str | int, ...]
"""Keys, and places in lists, from a value to one inside it."""

_NAMES: dict[str, tuple[str, ...]] = {
    "native_type": (
        *("event", "eventtype", "eventname", "recordtype", "notificationtype", "messageevent", "type", "action"),
        *("trigger", "status", "state", "name", "kind"),
    ),
    "recipient": (
        *("recipient", "rcpt", "rcptto", "recipientemail", "toemail", "emailaddress", "email", "to", "address"),
        *("destination", "mailto", "subscriber", "useremail", "contact", "recipients", "rcptaddr", "toaddr", "addr"),
    ),
    "email_id": ("emailid", "messageid", "msgid", "mailid", "messageuuid", "msguuid", "transmissionid", "sgmessageid"),
    "message_id": ("smtpid", "rfcmessageid", "internetmessageid", "messageid", "msgid", "emailid"),
    "event_id": ("eventid", "eventuuid", "notificationid", "webhookid", "logid", "uuid", "id"),
    "timestamp": (
        *("timestamp", "eventtime", "eventtimestamp", "occurredat", "eventat", "time", "ts", "tsevent", "date"),
        *("datetime", "createdat", "sentat", "deliveredat", "at"),
    ),
    "subject": ("subject",),
    "from": ("from", "sender", "fromemail", "mailfrom", "fromaddress"),
    "tags": ("tags", "tag", "categories", "category", "labels"),
    "metadata": (
        *("metadata", "customargs", "uservariables", "variables", "customdata", "uniqueargs", "customvariables"),
        "custom",
    ),
    "url": ("url", "link", "clickedurl", "clickurl", "originallink", "targetlinkurl", "href"),
    "ip": ("ip", "ipaddress", "clientip", "remoteip", "userip", "sourceip"),
    "user_agent": ("useragent", "ua", "agent", "clientuseragent"),
    "diagnostic": (
        *("diagnostic", "diagnosticcode", "smtpresponse", "response", "reason", "bouncereason", "error"),
        *("errormessage", "description", "details"),
    ),
    "smtp_code": ("smtpcode", "code", "statuscode", "smtpstatus", "errorcode"),
    "category": ("bouncetype", "bounceclass", "bounceclassification", "severity", "classification", "bouncecode"),
}
_WORDS = {
    "scheduled": "email.accepted",
    "requested": "email.accepted",
    "request": "email.accepted",
    "injection": "email.accepted",
    "outofband": "email.bounced",
    "hardbounce": "email.bounced",
    "softbounce": "email.bounced",
    "undelivered": "email.bounced",
    "undeliverable": "email.bounced",
    "blocked": "email.bounced",
    "invalidemail": "email.bounced",
    "deliverydelayed": "email.deferred",
    "softfail": "email.deferred",
    "temporaryfailure": "email.deferred",
    "rejected": "email.dropped",
    "reject": "email.dropped",
    "errored": "email.failed",
    "uniqueopened": "email.open",
    "firstopening": "email.open",
    "initialopen": "email.open",
    "linkclicked": "email.click",
    "spamreport": "email.complaint",
    "spamcomplaint": "email.complaint",
    "abuse": "email.complaint",
    "abusereport": "email.complaint",
    "unsub": "email.unsubscribe",
    "listunsubscribe": "email.unsubscribe",
    "groupunsubscribe": "email.unsubscribe",
    "inboundmail": "email.received",
}
_NEGATIONS = {"not", "no", "un", "non", "never"}
_OF_OTHERS = {"from", "sender", "replyto", "returnpath", "mailfrom", "fromemail", "fromaddress"}
_WORD = re.compile(r"[\w.:/ -]{1,60}")
_ADDRESS = re.compile(r"[^\s<>@,;\"]+@[^\s<>@,;\"]+")
_MESSAGE_ID = re.compile(r"<?[^\s<>@]+@[^\s<>@]+>?")
_IDS = {"id", "uuid"}
_REPLY = re.compile(r"[245]\d\d[ -]", re.ASCII)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class Found(NamedTuple):
    """A value of the payload and the way to it."""

    path: Way
    value: Any


class Items(NamedTuple):
    """Where the native items of a payload are: at `path`, as a list or a single one; the type of each at `type`."""

    path: Way
    listed: bool
    items: Sequence[Mapping[str, Any]]
    type: Found | None


def unified_type(word: str) -> str | None:
    """The event type that a provider's word most probably stands for."""
    plain = re.sub(r"^(email|message|mail)s?[.:/_ -]+", "", word.strip().lower())
    return canonical_type(plain) or _WORDS.get(_plain(plain)) or canonical_type(plain.rpartition(".")[2])


def likely_type(word: str) -> str | None:
    """The same, or else what one of the word's parts stands for: "MAIL_BOUNCED_HARD"."""
    known = unified_type(word)
    parts = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", word).lower())
    if known is not None or not _NEGATIONS.isdisjoint(parts):
        return known
    return next((type_ for part in reversed(parts) if (type_ := unified_type(part))), None)


def expression(path: Way, *, of: str | None = None) -> str:
    """The expression that finds what is at `path`, in the item or in what the expression `of` gives."""
    text = of or ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if _IDENTIFIER.fullmatch(step) else json.dumps(step))
    return text


def find_items(payload: Any) -> Items:
    """The list, or the object, whose members look most like events."""
    if isinstance(payload, list):
        items = [cast("dict[str, Any]", item) for item in cast("list[Any]", payload) if isinstance(item, dict)]
        return Items((), True, items, _type_of(items))
    whole = Items((), False, [payload], _type_of([payload]))
    candidates = [whole, *_inner(payload)]
    return max(candidates, key=lambda items: (_is_known(items.type), items is whole))


def find(item: Mapping[str, Any], field: str, *, without: Sequence[Way] = ()) -> Found | None:
    """Where a unified field most probably stands in an item; `without` is taken already."""
    names, fits = _NAMES[field], _FITS[field]
    found = [
        (names.index(name), len(path), Found(path, value))
        for path, value in _walk(item)
        if path not in without and (name := _likely_name(path, names)) and fits(value)
    ]
    return min(found, key=lambda each: each[:2])[2] if found else None


def value_at(item: Any, path: Way) -> Any:
    """What stands at `path` in an item, None where nothing does."""
    for step in path:
        try:
            item = item[step]
        except (KeyError, IndexError, TypeError):
            return None
    return item


def address_in(value: Any) -> str | None:
    """The first bare address in a text or a list of texts."""
    text = next(iter(cast("list[Any]", value)), None) if isinstance(value, list) else value
    address = _ADDRESS.search(text) if isinstance(text, str) else None
    return address.group() if address else None


def find_anywhere(item: Mapping[str, Any], field: str, *, without: Sequence[Way] = ()) -> Found | None:
    """The first value that can be nothing but this field, whatever its name; None also where a field is never so."""
    looks_so = _ANYWHERE.get(field)
    return next((found for found in _others(item, without) if looks_so and looks_so(found)), None)


def _others(item: Mapping[str, Any], without: Sequence[Way]) -> Iterator[Found]:
    return (Found(path, value) for path, value in _walk(item) if path not in without)


def _is_reply(found: Found) -> bool:
    return isinstance(found.value, str) and bool(_REPLY.match(found.value))


def _may_be_recipient(found: Found) -> bool:
    words = {_plain(step) for step in found.path if isinstance(step, str)}
    in_brackets = isinstance(found.value, str) and found.value.startswith("<")
    return address_in(found.value) is not None and not in_brackets and words.isdisjoint(_OF_OTHERS)


def _inner(value: Any, path: Way = ()) -> Iterator[Items]:
    """The objects and lists of objects below an object."""
    if len(path) >= DEPTH_MAX or not isinstance(value, dict):
        return
    for name, inner in cast("dict[str, Any]", value).items():
        if isinstance(inner, dict):
            own = cast("dict[str, Any]", inner)
            yield Items((*path, name), False, [own], _type_of([own]))
            yield from _inner(own, (*path, name))
        elif isinstance(inner, list) and inner and all(isinstance(each, dict) for each in cast("list[Any]", inner)):
            yield Items((*path, name), True, cast("list[Any]", inner), _type_of(cast("list[Any]", inner)))


def _type_of(items: Sequence[Mapping[str, Any]]) -> Found | None:
    """A word that is known is better than one under a likely name; the top of an item is better than below."""
    names, fits = _NAMES["native_type"], _FITS["native_type"]
    found = [
        (unified_type(value) is None, len(path), names.index(name), Found(path, value))
        for item in items[:1]
        for path, value in _walk(item)
        if len(path) <= TYPE_DEPTH_MAX and (name := _likely_name(path, names)) and fits(value)
    ]
    return min(found, key=lambda each: each[:3])[3] if found else _any_type(items)


def _any_type(items: Sequence[Mapping[str, Any]]) -> Found | None:
    """A word that stands for an event, whatever its name."""
    found = (each for item in items[:1] for each in _others(item, ()) if _is_word(each.value))
    return next((each for each in found if len(each.path) <= TYPE_DEPTH_MAX and likely_type(each.value)), None)


def _is_known(type_: Found | None) -> int:
    if type_ is None:
        return 0
    return 2 if unified_type(type_.value) and len(type_.path) == 1 else 1


def _walk(value: Any, path: Way = ()) -> Iterator[tuple[Way, Any]]:
    """Everything in an item; of a list of objects only the first."""
    if path:
        yield path, value
    if len(path) >= DEPTH_MAX:
        return
    if isinstance(value, dict):
        for name, inner in cast("dict[str, Any]", value).items():
            yield from _walk(inner, (*path, name))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield from _walk(value[0], (*path, 0))


def _likely_name(path: Way, names: Sequence[str]) -> str | None:
    """Under which of the names a value stands: by its key ("message_id"), or by the last two ("message", "id").

    An `id` alone is that of what it stands in: of the event only at the top, and else of a tenant or a template.
    """
    words = [_plain(step) for step in path if isinstance(step, str)]
    last = () if len(words) > 1 and words[-1] in _IDS else (words[-1],)
    return next((name for name in ("".join(words[-2:]), *last) if name in names), None)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and bool(_WORD.fullmatch(value))


def _is_id(value: Any) -> bool:
    return (isinstance(value, str) and 0 < len(value) <= 300) or (type(value) is int and value > 0)


def _is_message_id(value: Any) -> bool:
    return isinstance(value, str) and bool(_MESSAGE_ID.fullmatch(value))


def _is_time(value: Any) -> bool:
    for attempt in (time_reader(zone=None), time_reader(format_="rfc2822")):
        try:
            return attempt(value) > 10**11  # later than 1973: the number of a thing is rarely that large
        except MapFailed as mistake:
            if "without a zone" in str(mistake):
                return True
    return False


def _is_ip(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(ipaddress.ip_address(value))
    except ValueError:
        return False


def _is_texts(value: Any) -> bool:
    texts = cast("list[Any]", value) if isinstance(value, list) else [value]
    return bool(texts) and all(isinstance(text, str) for text in texts)


def _is_code(value: Any) -> bool:
    return str(value).isdecimal() and 200 <= int(str(value)) <= 599


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


_ANYWHERE: dict[str, Callable[[Found], bool]] = {
    "message_id": lambda found: _is_message_id(found.value) and found.value.startswith("<"),
    "recipient": _may_be_recipient,
    "timestamp": lambda found: _is_time(found.value),
    "diagnostic": _is_reply,
}
_FITS: dict[str, Callable[[Any], bool]] = {
    "native_type": _is_word,
    "recipient": lambda value: address_in(value) is not None,
    "email_id": _is_id,
    "message_id": _is_message_id,
    "event_id": _is_id,
    "timestamp": _is_time,
    "subject": _is_text,
    "from": lambda value: address_in(value) is not None,
    "tags": _is_texts,
    "metadata": lambda value: isinstance(value, dict),
    "url": lambda value: isinstance(value, str) and value.startswith("http"),
    "ip": _is_ip,
    "user_agent": _is_text,
    "diagnostic": _is_text,
    "smtp_code": _is_code,
    "category": _is_text,
}
