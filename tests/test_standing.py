"""The rules by which events tell the state of a message, and whether to write to an address."""

from itertools import count, permutations
from typing import Any

import msgspec
import pytest

from app.standing import Fact, Standing, common_state, message_states, standing

_numbers = count(1)


def fact(minute: int, type_: str, recipient: str = "ann@example.com", provider: str = "resend", **blocks: Any) -> Fact:
    """One that happened in that minute."""
    event = {
        "id": f"evt_{next(_numbers):015d}",
        "type": f"email.{type_}",
        "timestamp": f"2026-03-03T08:{minute:02d}:00.000Z",
        "data": {"recipient": recipient, "provider": {"name": provider, "source": "prod"}, **blocks},
    }
    return msgspec.convert(event, Fact)


HARD = {"bounce": {"class": "hard", "permanent": True, "suppress_recommended": True}}
SUPPRESSED = {"bounce": {"class": "suppressed", "permanent": True, "suppress_recommended": True}}
SOFT = {"bounce": {"class": "soft"}}
BLOCK = {"bounce": {"class": "block"}}
ALL = {"unsubscribe": {"scope": "all"}}
NOT_SPAM = {"complaint": {"feedback_type": "not-spam"}}


def dropped_for(category: str) -> dict[str, Any]:
    return {"drop": {"category": category}}


def of_list(*names: str) -> dict[str, Any]:
    return {"unsubscribe": {"scope": "list", "list_id": ",".join(names)}}


@pytest.mark.parametrize(
    ("types", "state"),
    [
        (["accepted"], "accepted"),
        (["accepted", "sent"], "sent"),
        (["accepted", "sent", "deferred"], "deferred"),
        (["deferred", "sent"], "sent"),
        (["sent", "deferred", "delivered"], "delivered"),
        (["sent", "delivered", "bounced"], "bounced"),
        (["bounced", "delivered"], "delivered"),
        (["delivered", "deferred"], "delivered"),
        (["bounced", "sent"], "bounced"),
        (["accepted", "dropped"], "dropped"),
        (["accepted", "failed"], "failed"),
        (["sent", "open"], "delivered"),
        (["click"], "delivered"),
        (["complaint"], "delivered"),
        (["bounced", "open"], "bounced"),
        (["received"], "received"),
        (["replied"], "received"),
        (["unknown"], "unknown"),
    ],
)
def test_the_state_of_a_message_follows_from_when_things_happened(types: list[str], state: str) -> None:
    facts = [fact(minute, type_) for minute, type_ in enumerate(types)]
    for arrived in permutations(facts):
        assert [found.state for found in message_states(arrived)] == [state]


def test_of_what_happened_in_the_same_second_the_further_counts() -> None:
    facts = [fact(1, type_) for type_ in ("delivered", "sent", "accepted", "open")]
    for arrived in permutations(facts):
        (found,) = message_states(arrived)
        assert (found.state, found.since) == ("delivered", "2026-03-03T08:01:00.000Z")


def test_a_message_tells_when_it_was_first_opened_and_clicked_by_a_person() -> None:
    machine = {"client": {"machine": True}}
    facts = [
        fact(1, "delivered"),
        fact(2, "open", **machine),
        fact(5, "open"),
        fact(4, "open", client={"machine": None}),
        fact(6, "click", **machine),
        fact(7, "complaint"),
        fact(8, "unsubscribe"),
    ]
    (found,) = message_states(facts)
    assert found.opened_at == "2026-03-03T08:04:00.000Z"
    assert found.clicked_at is None
    assert found.complained_at == "2026-03-03T08:07:00.000Z"
    assert found.unsubscribed_at == "2026-03-03T08:08:00.000Z"


def test_a_message_has_a_state_for_each_recipient() -> None:
    states = message_states(
        [fact(1, "delivered"), fact(2, "bounced", "eve@example.com"), fact(3, "open", "ANN@example.com")]
    )
    assert [(state.recipient, state.state) for state in states] == [
        ("ann@example.com", "delivered"),
        ("eve@example.com", "bounced"),
    ]
    assert common_state(states) == "mixed"
    assert common_state(states[:1]) == "delivered"


def reasons(*facts: Fact) -> list[str]:
    found = [standing(arrived) for arrived in permutations(facts)]
    assert all(one == found[0] for one in found), "the order of arrival made a difference"
    assert found[0].send == (not found[0].reasons)
    return [reason.reason for reason in found[0].reasons]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ([], []),
        ([fact(1, "delivered")], []),
        ([fact(1, "bounced", **HARD)], ["hard_bounce"]),
        ([fact(1, "bounced", **SUPPRESSED)], ["suppressed"]),
        ([fact(1, "bounced", **SOFT)], []),
        ([fact(1, "bounced", **BLOCK)], []),
        ([fact(1, "bounced")], []),
        ([fact(1, "delivered"), fact(2, "bounced", **HARD)], ["hard_bounce"]),
        ([fact(1, "bounced", **HARD), fact(2, "delivered")], []),
        ([fact(1, "bounced", **HARD), fact(1, "delivered")], ["hard_bounce"]),
        ([fact(1, "bounced", **HARD), fact(2, "open")], ["hard_bounce"]),
        ([fact(1, "bounced", **HARD), fact(2, "subscribe", **ALL)], ["hard_bounce"]),
        ([fact(1, "bounced", **HARD), fact(2, "delivered"), fact(3, "bounced", **HARD)], ["hard_bounce"]),
        ([fact(1, "dropped", **dropped_for("suppressed"))], ["suppressed"]),
        ([fact(1, "dropped", **dropped_for("invalid"))], ["hard_bounce"]),
        ([fact(1, "dropped", **dropped_for("unsubscribed"))], ["unsubscribe"]),
        ([fact(1, "dropped", **dropped_for("complained"))], ["complaint"]),
        ([fact(1, "dropped", **dropped_for("content"))], []),
        ([fact(1, "dropped", **dropped_for("quota"))], []),
        ([fact(1, "dropped")], []),
        ([fact(1, "complaint")], ["complaint"]),
        ([fact(1, "complaint", complaint={"feedback_type": "abuse"})], ["complaint"]),
        ([fact(1, "complaint", **NOT_SPAM)], []),
        ([fact(1, "complaint"), fact(2, "complaint", **NOT_SPAM)], []),
        ([fact(1, "complaint"), fact(2, "delivered"), fact(3, "open")], ["complaint"]),
        ([fact(1, "complaint"), fact(2, "subscribe", **ALL)], []),
        ([fact(1, "complaint"), fact(2, "subscribe", **of_list("news"))], ["complaint"]),
        ([fact(1, "unsubscribe", **ALL)], ["unsubscribe"]),
        ([fact(1, "unsubscribe")], ["unsubscribe"]),
        ([fact(1, "unsubscribe", **ALL), fact(2, "delivered")], ["unsubscribe"]),
        ([fact(1, "unsubscribe", **ALL), fact(2, "subscribe", **ALL)], []),
        ([fact(1, "unsubscribe", **ALL), fact(1, "subscribe", **ALL)], ["unsubscribe"]),
        ([fact(2, "unsubscribe", **ALL), fact(1, "subscribe", **ALL)], ["unsubscribe"]),
        ([fact(1, "unsubscribe", **of_list("news"))], []),
        ([fact(1, "complaint"), fact(2, "unsubscribe", **ALL)], ["complaint", "unsubscribe"]),
    ],
)
def test_an_address_is_written_to_unless_a_reason_stands(facts: list[Fact], expected: list[str]) -> None:
    assert reasons(*facts) == expected


@pytest.mark.parametrize("block", [HARD, SUPPRESSED, SOFT, BLOCK])
def test_a_bounce_is_a_reason_exactly_when_it_recommends_to_suppress(block: dict[str, Any]) -> None:
    assert bool(reasons(fact(1, "bounced", **block))) == block["bounce"].get("suppress_recommended", False)


def test_what_may_be_about_another_recipient_counts_for_no_address() -> None:
    assert reasons(fact(1, "bounced", attribution="any_of", **HARD)) == []
    assert reasons(fact(1, "bounced", **HARD), fact(2, "delivered", attribution="any_of")) == ["hard_bounce"]


def test_a_reason_tells_since_when_and_by_which_event() -> None:
    first, again = fact(1, "complaint", provider="postmark"), fact(2, "complaint")
    (reason,) = standing([again, first]).reasons
    assert (reason.since, reason.event_id, reason.provider) == (first.timestamp, first.id, "postmark")


def left(stands: Standing) -> list[tuple[str | None, str | None]]:
    return [(one.provider, one.list_id) for one in stands.left_lists]


def test_lists_are_left_and_joined_one_by_one() -> None:
    gone = fact(1, "unsubscribe", **of_list("news", "offers"))
    assert left(standing([gone])) == [("resend", "news"), ("resend", "offers")]
    assert left(standing([gone, fact(2, "subscribe", **of_list("news"))])) == [("resend", "offers")]
    assert left(standing([gone, fact(2, "subscribe", provider="brevo", **of_list("news"))])) == left(standing([gone]))
    assert left(standing([gone, fact(2, "subscribe", **ALL)])) == []
    assert left(standing([gone, fact(2, "unsubscribe", **ALL)])) == left(standing([gone]))
