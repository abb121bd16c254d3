"""What follows from events: how a message stands with each of its recipients, and whether to write to an address.

Pure: facts in, a standing out. What counts is when a thing happened, not when it was told, because providers tell late
and out of order.

A message: a final state (delivered, bounced, dropped, failed) is not undone by a provisional one (accepted, sent,
deferred), whatever their times; among final ones the last to happen counts, and so among provisional ones. What was
opened, clicked or complained of has been delivered, whether the provider said so or not.

An address is to be written to no more while one of these stands:

- hard_bounce, suppressed: a bounce with `suppress_recommended`, or a drop of the category invalid or suppressed; until
  a message is delivered to it.
- complaint: a complaint that is not the feedback type not-spam, or a drop of the category complained; until the
  recipient reports a message as no spam, or subscribes to everything again.
- unsubscribe: from everything (also where the provider does not say from what), or a drop of the category unsubscribed;
  until the recipient subscribes to everything again.

Leaving a list ends with joining it, or everything, again, and is no reason to write no more. What happens at the same
moment as a reason does not lift it. Events of which the provider does not say whom they are about (`any_of`) count for
no address.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from adapters.events import Bounce, Client, Complaint, Drop, Provider, Unsubscribe

ACCEPTED, SENT, DEFERRED = "accepted", "sent", "deferred"
DELIVERED, BOUNCED, DROPPED, FAILED = "delivered", "bounced", "dropped", "failed"
RECEIVED, UNKNOWN, MIXED = "received", "unknown", "mixed"
HARD_BOUNCE, SUPPRESSED, COMPLAINT, UNSUBSCRIBE = "hard_bounce", "suppressed", "complaint", "unsubscribe"

NOT_SPAM = "not-spam"

_PROVISIONAL = {"email.accepted": ACCEPTED, "email.sent": SENT, "email.deferred": DEFERRED}
_FINAL = {
    "email.delivered": DELIVERED,
    "email.failed": FAILED,
    "email.dropped": DROPPED,
    "email.bounced": BOUNCED,
}
_RANKS = {type_: rank for rank, type_ in enumerate([*_PROVISIONAL, *_FINAL])}
_ENGAGED = {
    "email.open": "opened_at",
    "email.click": "clicked_at",
    "email.complaint": "complained_at",
    "email.unsubscribe": "unsubscribed_at",
}
_INBOUND = frozenset({"email.received", "email.replied"})
_DROPPED_FOR = {
    "invalid": HARD_BOUNCE,
    "suppressed": SUPPRESSED,
    "complained": COMPLAINT,
    "unsubscribed": UNSUBSCRIBE,
}

STOPPING_TYPES = ("email.bounced", "email.dropped", "email.complaint", "email.unsubscribe", "email.subscribe")
"""Types that tell for or against writing to an address, beside `email.delivered`."""


class FactData(msgspec.Struct, frozen=True):
    """The part of an event's data that is looked at."""

    provider: Provider | UnsetType = UNSET
    recipient: str | None = None
    attribution: str = "exact"
    bounce: Bounce | UnsetType = UNSET
    drop: Drop | UnsetType = UNSET
    complaint: Complaint | UnsetType = UNSET
    unsubscribe: Unsubscribe | UnsetType = UNSET
    client: Client | UnsetType = UNSET


class Fact(msgspec.Struct, frozen=True):
    """The part of an event that is looked at; `timestamp` is when it happened, as text that sorts by time."""

    id: str
    type: str
    timestamp: str
    data: FactData


class MessageState(msgspec.Struct):
    """How a message stands with one recipient; times are of the first such event."""

    recipient: str | None
    state: str = UNKNOWN
    since: str | None = None
    opened_at: str | None = None
    clicked_at: str | None = None
    complained_at: str | None = None
    unsubscribed_at: str | None = None


class Reason(msgspec.Struct, frozen=True):
    """Why not to write to an address, since when, and the event that says so."""

    reason: str
    since: str
    event_id: str
    provider: str | None


class LeftList(msgspec.Struct, frozen=True):
    """A list that the recipient left, by the provider's name for it."""

    provider: str | None
    list_id: str | None
    since: str


class Standing(msgspec.Struct, frozen=True):
    """Whether to write to an address, and if not, why; the oldest reason first."""

    send: bool
    reasons: Sequence[Reason]
    left_lists: Sequence[LeftList]


def message_states(facts: Iterable[Fact]) -> list[MessageState]:
    """How a message stands with each recipient, in the order in which they first appear."""
    of_recipient: dict[str | None, list[Fact]] = {}
    for fact in sorted(facts, key=_when):
        of_recipient.setdefault(_folded(fact.data.recipient), []).append(fact)
    return [_message_state(of) for of in of_recipient.values()]


def common_state(states: Sequence[MessageState]) -> str:
    """The state with all recipients, or `mixed`."""
    found = {state.state for state in states}
    return found.pop() if len(found) == 1 else MIXED


def standing(facts: Iterable[Fact]) -> Standing:
    """Whether to write to the address that the facts are about."""
    kept: dict[str, Reason] = {}
    lists: dict[tuple[str | None, str | None], LeftList] = {}
    for fact in sorted((fact for fact in facts if fact.data.attribution == "exact"), key=_when_for_address):
        for reason in _lifted_by(fact):
            kept.pop(reason, None)
        if (reason := _reason_of(fact)) is not None:
            kept.setdefault(reason, Reason(reason, fact.timestamp, fact.id, _provider(fact)))
        _note_lists(lists, fact)
    return Standing(not kept, list(kept.values()), list(lists.values()))


def _message_state(facts: Sequence[Fact]) -> MessageState:
    """`facts` are of one recipient, in the order in which they happened."""
    state = MessageState(facts[0].data.recipient)
    decisive = _last(facts, _FINAL) or _evidence(facts) or _last(facts, _PROVISIONAL) or _last(facts, _INBOUND)
    if decisive is not None:
        state.state = (_FINAL | _PROVISIONAL).get(decisive.type, RECEIVED if decisive.type in _INBOUND else DELIVERED)
        state.since = decisive.timestamp
    for fact in facts:
        field = _ENGAGED.get(fact.type)
        if field is not None and getattr(state, field) is None and not _is_machine(fact):
            setattr(state, field, fact.timestamp)
    return state


def _last(facts: Sequence[Fact], types: Iterable[str]) -> Fact | None:
    wanted = frozenset(types)
    return next((fact for fact in reversed(facts) if fact.type in wanted), None)


def _evidence(facts: Sequence[Fact]) -> Fact | None:
    """The first sign that the message has arrived."""
    return next((fact for fact in facts if fact.type in _ENGAGED), None)


def _is_machine(fact: Fact) -> bool:
    return fact.data.client is not UNSET and fact.data.client.machine is True


def _when(fact: Fact) -> tuple[Any, ...]:
    """Of what happened at the same moment, as second-exact times often say, the further comes last."""
    return fact.timestamp, _RANKS.get(fact.type, -1), fact.id


def _when_for_address(fact: Fact) -> tuple[Any, ...]:
    """Of what happened at the same moment, reasons come last, so that nothing lifts them."""
    return fact.timestamp, _reason_of(fact) is not None or fact.type == "email.unsubscribe", fact.id


def _reason_of(fact: Fact) -> str | None:
    data = fact.data
    match fact.type:
        case "email.bounced" if data.bounce is not UNSET and data.bounce.suppress_recommended:
            return SUPPRESSED if data.bounce.class_ == "suppressed" else HARD_BOUNCE
        case "email.dropped" if data.drop is not UNSET:
            return _DROPPED_FOR.get(data.drop.category or "")
        case "email.complaint" if not _is_not_spam(fact):
            return COMPLAINT
        case "email.unsubscribe" if _is_about_everything(fact):
            return UNSUBSCRIBE
        case _:
            return None


def _lifted_by(fact: Fact) -> tuple[str, ...]:
    match fact.type:
        case "email.delivered":
            return HARD_BOUNCE, SUPPRESSED
        case "email.complaint" if _is_not_spam(fact):
            return (COMPLAINT,)
        case "email.subscribe" if _is_about_everything(fact):
            return COMPLAINT, UNSUBSCRIBE
        case _:
            return ()


def _note_lists(lists: dict[tuple[str | None, str | None], LeftList], fact: Fact) -> None:
    if fact.type not in ("email.subscribe", "email.unsubscribe"):
        return
    if _is_about_everything(fact):
        if fact.type == "email.subscribe":
            lists.clear()
        return
    for list_id in _list_ids(fact):
        key = _provider(fact), list_id
        if fact.type == "email.subscribe":
            lists.pop(key, None)
        else:
            lists.setdefault(key, LeftList(*key, fact.timestamp))


def _is_about_everything(fact: Fact) -> bool:
    return fact.data.unsubscribe is UNSET or fact.data.unsubscribe.scope != "list"


def _is_not_spam(fact: Fact) -> bool:
    return fact.data.complaint is not UNSET and fact.data.complaint.feedback_type == NOT_SPAM


def _list_ids(fact: Fact) -> list[str | None]:
    """Where a provider names several, they are separated by commas."""
    list_id = fact.data.unsubscribe.list_id if fact.data.unsubscribe is not UNSET else None
    return [None] if list_id is None else [one.strip() for one in list_id.split(",")]


def _provider(fact: Fact) -> str | None:
    return fact.data.provider.name if fact.data.provider is not UNSET else None


def _folded(address: str | None) -> str | None:
    return None if address is None else address.lower()
