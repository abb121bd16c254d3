"""What a subscriber is told about a webhook, with headers made by the signer itself."""

import json

import pytest

from app.proof import Webhook, check_keys, examine
from app.signer import Signer, generate_key_pair, generate_secret

AT = 1_772_525_700
EVENT_ID = "evt_01K3ZZZZZZZZZZZ"
BODY = json.dumps({"id": EVENT_ID, "type": "email.bounced", "data": {"recipient": "ann@exämple.com"}}).encode()
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
PRIVATE, PUBLIC = generate_key_pair()


def webhook(body: bytes = BODY, *, secret: str = SECRET, kind: str = "hmac", **changes: str | None) -> Webhook:
    """A webhook signed over BODY that arrived with `body`; `changes` replace headers (_ for -), None removes."""
    signer = Signer([secret], kind)  # type: ignore[arg-type]
    sent = signer.headers(webhook_id=EVENT_ID, event_type="email.bounced", body=BODY, attempt=1, unix_s=AT)
    headers = {name.lower(): value for name, value in sent.items()}
    for name, value in changes.items():
        headers.pop(name.replace("_", "-"), None)
        if value is not None:
            headers[name.replace("_", "-")] = value
    return Webhook(headers, body)


def reason(received: Webhook, *keys: str, at: float = AT, tolerance_s: float = 300) -> str | None:
    verdict = examine(received, keys or [SECRET], at, tolerance_s)
    assert verdict.valid == (verdict.reason is None)
    return verdict.reason


def test_both_forms_and_the_timestamp_of_an_authentic_webhook_are_right() -> None:
    verdict = examine(webhook(), [SECRET], AT + 20)
    assert verdict.valid
    assert [(check.check, check.ok) for check in verdict.checks] == [
        ("x-webhook-signature", True),
        ("webhook-signature", True),
        ("webhook-timestamp", True),
    ]


def test_either_form_alone_is_enough() -> None:
    without = {"webhook_id": None, "webhook_timestamp": None, "webhook_signature": None}
    assert reason(webhook(**without)) is None
    assert reason(webhook(x_webhook_signature=None)) is None


def test_a_key_pair_is_verified_by_its_public_key() -> None:
    assert reason(webhook(secret=PRIVATE, kind="ed25519"), PUBLIC) is None
    assert reason(webhook(b"{}", secret=PRIVATE, kind="ed25519"), PUBLIC) is not None


def test_any_of_several_secrets_may_have_signed() -> None:
    assert reason(webhook(), generate_secret(), SECRET) is None


def test_a_secret_of_plain_text_is_taken_as_it_is() -> None:
    assert reason(webhook(secret="sixteen letters or more"), "sixteen letters or more") is None


@pytest.mark.parametrize("secret", [f" {SECRET}", f'"{SECRET}"', f"{SECRET}\n", SECRET.removeprefix("whsec_")])
def test_a_secret_that_was_copied_badly_is_told_apart(secret: str) -> None:
    verdict = examine(webhook(), [secret], AT)
    assert (verdict.reason, "not as it was shown" in verdict.advice) == ("wrong_secret", True)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (BODY + b"\n", "line end at its end"),
        (b" " + BODY + b" ", "white space around it"),
        (b"\xef\xbb\xbf" + BODY, "byte order mark"),
        (BODY[:-5], "it is not JSON"),
    ],
)
def test_what_was_done_to_the_body_is_named(body: bytes, what: str) -> None:
    verdict = examine(webhook(body), [SECRET], AT)
    assert verdict.reason == "body_changed"
    assert what in verdict.advice


def test_json_that_was_written_anew_is_named() -> None:
    compact = json.dumps(json.loads(BODY), separators=(",", ":"), ensure_ascii=False).encode()
    signer = Signer([SECRET])
    sent = signer.headers(webhook_id=EVENT_ID, event_type="email.bounced", body=compact, attempt=1, unix_s=AT)
    received = Webhook({name.lower(): value for name, value in sent.items()}, BODY)
    verdict = examine(received, [SECRET], AT)
    assert (verdict.reason, "written anew" in verdict.advice) == ("body_changed", True)


def test_the_length_tells_another_body_from_another_secret() -> None:
    other = json.dumps({"id": EVENT_ID, "type": "email.open"}).encode()
    assert reason(webhook(other, content_length=str(len(BODY)))) == "body_changed"
    assert reason(webhook(content_length=str(len(BODY))), generate_secret()) == "wrong_secret"
    assert reason(webhook(), generate_secret()) == "wrong_secret_or_body"


def test_headers_of_another_request_are_told_apart() -> None:
    assert reason(webhook(webhook_timestamp=str(AT + 1))) == "headers_changed"
    assert reason(webhook(webhook_id="evt_01K3ZZZZZZZZZZ1")) == "headers_changed"
    other = webhook(BODY.replace(b"01K3", b"01K4"), content_length=str(len(BODY)))
    assert reason(other) == "headers_changed"


def test_age_counts_in_both_directions() -> None:
    assert reason(webhook(), at=AT + 301) == "too_old"
    assert reason(webhook(), at=AT - 301) == "in_the_future"
    assert reason(webhook(), at=AT + 301, tolerance_s=600) is None


@pytest.mark.parametrize("name", ["webhook_id", "webhook_timestamp", "webhook_signature"])
def test_a_header_of_the_three_that_is_missing_is_named(name: str) -> None:
    verdict = examine(webhook(**{name: None}), [SECRET], AT)
    assert verdict.reason == "missing_header"
    assert verdict.advice.startswith(name.replace("_", "-"))


def test_a_request_without_any_signature_says_what_is_there() -> None:
    verdict = examine(Webhook({"host": "example.com"}, BODY), [SECRET], AT)
    assert (verdict.reason, "host" in verdict.advice) == ("missing_header", True)


@pytest.mark.parametrize(
    "changes",
    [
        {"x_webhook_signature": "zz"},
        {"webhook_signature": "v2,AAAA"},
        {"webhook_signature": "\xff"},
        {"webhook_timestamp": "yesterday", "x_webhook_signature": None},
    ],
)
def test_a_malformed_header_is_no_crash(changes: dict[str, str]) -> None:
    assert reason(webhook(**changes)) in ("malformed_header", "wrong_secret_or_body")


def test_the_other_kind_of_key_is_told_apart() -> None:
    assert reason(webhook(), PUBLIC) == "other_kind_of_key"
    assert reason(webhook(secret=PRIVATE, kind="ed25519"), SECRET) == "other_kind_of_key"


@pytest.mark.parametrize("key", [pytest.param(PRIVATE, id="private"), "whpk_", "whpk_AAAA", "whsec_%%%"])
def test_a_key_that_nobody_verifies_with_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_keys([key])
