"""Mandrill: forms whose URL is signed, its credentials included, and the requests that come before there is a key."""

import json
from urllib.parse import urlencode

import pytest

from adapters.errors import VerificationFailed
from adapters.request import NativeRequest
from tests.adapters.native_fixtures import (
    AT,
    CATALOG,
    RECEIVED_MS,
    assert_samples_are_signed_and_read,
    read,
    samples_without_types,
)

MANDRILL = CATALOG.get("mandrill")
FORM = {"content-type": "application/x-www-form-urlencoded"}
URL = "https://gateway.example.com/api/webhooks/ours?region=eu"
KEY = {"signing_secret": ["key"]}


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("mandrill")
    assert samples_without_types("mandrill") == {"blacklist", "whitelist", "denylist", "allowlist"}


def batch(*events: object) -> bytes:
    return urlencode({"mandrill_events": json.dumps(events)}).encode()


def request(body: bytes, url: str = URL, headers: dict[str, str] | None = None) -> NativeRequest:
    return NativeRequest(url=url, headers={**FORM, **(headers or {})}, body=body)


def signed(body: bytes, url: str = URL, **signing: str) -> NativeRequest:
    unsigned = request(body, url)
    return MANDRILL.verification.sign(unsigned, MANDRILL.decode(unsigned), signing or {"signing_secret": "key"}, AT)


OPEN = {"event": "open", "ts": 1767225600, "_id": "m1", "msg": {"email": "ann@example.net"}}


def test_a_signature_made_by_hand_verifies() -> None:
    # printf '%s' "$URL" 'mandrill_events[]' | openssl dgst -sha1 -hmac key -binary | base64
    by_hand = "8ykcpY9lRcxjINZRk+9W8Hi47CM="
    MANDRILL.verify(request(b"mandrill_events=%5B%5D", headers={"x-mandrill-signature": by_hand}), KEY, AT)


def test_the_signature_covers_the_url_and_every_field() -> None:
    good = signed(batch(OPEN))
    MANDRILL.verify(good, KEY, AT)
    for forged in (
        request(good.body, "https://gateway.example.com/api/webhooks/ours", dict(good.headers)),
        request(good.body + b"&more=1", headers=dict(good.headers)),
        request(batch(OPEN, OPEN), headers=dict(good.headers)),
    ):
        with pytest.raises(VerificationFailed):
            MANDRILL.verify(forged, KEY, AT)


def test_credentials_in_the_url_are_part_of_what_is_signed() -> None:
    both = signed(batch(OPEN), basic_auth="user:password", signing_secret="key")
    secrets = {**KEY, "basic_auth": ["user:password"]}
    assert [event.type for event in MANDRILL.read(both, secrets, AT, RECEIVED_MS).events] == ["email.open"]
    in_url = signed(batch(OPEN), "https://user:password@gateway.example.com/api/webhooks/ours?region=eu")
    assert in_url.headers["x-mandrill-signature"] == both.headers["x-mandrill-signature"]
    without = signed(batch(OPEN))
    with pytest.raises(VerificationFailed):
        MANDRILL.verify(request(without.body, headers={**both.headers, **without.headers}), secrets, AT)


def test_the_well_known_key_opens_the_door_for_an_empty_batch_and_nothing_else() -> None:
    empty = MANDRILL.read(signed(b"mandrill_events=%5B%5D", signing_secret="test-webhook"), KEY, AT, RECEIVED_MS)
    assert (empty.events, empty.quarantined) == ([], [])
    with pytest.raises(VerificationFailed):
        MANDRILL.verify(signed(batch(OPEN), signing_secret="test-webhook"), KEY, AT)


def test_the_url_is_tried_by_head_first() -> None:
    answer = MANDRILL.handshake(NativeRequest(method="HEAD", url=URL, headers={}, body=b""))
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"")
    assert MANDRILL.handshake(signed(batch(OPEN))) is None


def test_a_robot_is_named_and_told_apart_from_persons() -> None:
    robot = {**OPEN, "user_agent_parsed": {"type": "Robot", "ua_family": "Linkcheck"}}
    person = {**OPEN, "user_agent_parsed": {"type": "Email Client", "ua_family": "Thunderbird"}}
    clients = [event.data.client for event in read(MANDRILL, batch(robot, person), FORM).events]
    assert [(client.bot, client.machine) for client in clients] == [("Linkcheck", True), (None, False)]


def only(event: object) -> bytes:
    (mapped,) = read(MANDRILL, batch(event), FORM).events
    return mapped.dedup_key


def test_what_the_message_has_seen_since_does_not_make_another_event() -> None:
    later = {**OPEN, "msg": {**OPEN["msg"], "opens": [{"ts": 1}, {"ts": 2}], "state": "sent"}}
    assert only(OPEN) == only(later)


@pytest.mark.parametrize(
    "difference",
    [
        {"event": "click"},
        {"ts": 1767225601},
        {"_id": "m2"},
        {"msg": {"email": "bob@example.net"}},
        {"url": "https://shop.example.com/"},
        {"ip": "192.0.2.1"},
        {"user_agent": "curl"},
    ],
    ids=str,
)
def test_events_without_an_id_are_told_apart_by_what_happened(difference: dict[str, object]) -> None:
    assert only(OPEN) != only({**OPEN, **difference})


def test_the_message_id_is_taken_from_the_mail_itself_where_no_headers_are_sent() -> None:
    mail = "From: ann@example.net\r\nMessage-ID: <q1@mail.example.net>\r\n\r\nMessage-ID: <not@this>"
    inbound = {"event": "inbound", "ts": 1767225600, "msg": {"email": "shop@example.com", "raw_msg": mail}}
    (event,) = read(MANDRILL, batch(inbound), FORM).events
    assert event.data.message_id == "q1@mail.example.net"
