import json
from pathlib import Path
from typing import Any

import pytest

from adapters.adapter import Adapter
from adapters.mapping import load_mapping
from app.cli.guesses import expression, likely_type, unified_type
from tests.adapters.native_fixtures import read
from tests.cli.terminal import Ran, Shell

AT = 1_772_525_700


def new(shell: Shell, payload: Any, *options: str) -> Ran:
    (shell.folder / "payload.json").write_text(payload if isinstance(payload, str) else json.dumps(payload))
    return shell.mailweir("mappings", "new", "acme", "payload.json", *options)


def drafted(shell: Shell, payload: Any) -> tuple[Adapter, list[dict[str, Any]]]:
    """The mapping that was drafted, which is sound, and the events that it makes of its own payload."""
    ran = new(shell, payload, "--force")
    assert (ran.code, ran.out) == (0, "acme.yaml\n"), ran
    assert shell.mailweir("mappings", "check", "acme.yaml").code == 0
    tried = shell.mailweir("mappings", "try", "acme.yaml", "payload.json").row
    assert (tried["status"], tried["quarantined"], tried["unnamed"]) == (200, [], [])
    samples = shell.mailweir("mappings", "try", "acme.yaml")
    assert samples.code == 0, samples
    return load_mapping((shell.folder / "acme.yaml").read_text(), "acme.yaml"), tried["events"]


def test_a_list_of_events_is_drafted_with_one_rule_and_sample_for_each_type(shell: Shell) -> None:
    item = {"email": "ann@example.com", "sg_message_id": "m-0001.filter", "timestamp": AT, "category": ["news"]}
    bounce = item | {"event": "bounce", "reason": "550 no such user", "bounce_type": "hard", "ip": "192.0.2.1"}
    click = item | {"event": "click", "url": "https://example.com/x", "useragent": "Mozilla/5.0", "ip": "192.0.2.1"}
    adapter, events = drafted(shell, [bounce, click, click | {"email": "bob@example.com"}])
    assert [event["type"] for event in events] == ["email.bounced", "email.click", "email.click"]
    assert [event["data"]["recipient"] for event in events][::2] == ["ann@example.com", "bob@example.com"]
    assert {event["data"]["email_id"] for event in events} == {"m-0001.filter"}
    assert {event["timestamp"] for event in events} == {"2026-03-03T08:15:00.000Z"}
    assert events[0]["data"]["tags"] == ["news"]
    assert events[0]["data"]["bounce"]["class"] == "hard"
    assert events[0]["data"]["bounce"]["diagnostic"] == "550 no such user"
    assert events[1]["data"]["click"] == {"url": "https://example.com/x"}
    assert events[1]["data"]["client"]["ip"] == "192.0.2.1"
    assert events[1]["data"]["client"]["user_agent"] == "Mozilla/5.0"
    assert list(adapter.samples) == ["bounce", "click"]
    assert adapter.samples["click"]["email"] == "$recipient"
    assert (adapter.samples["click"]["timestamp"], adapter.samples["click"]["sg_message_id"]) == ("$unix", "$unique")


def test_an_object_with_its_details_below_is_one_event(shell: Shell) -> None:
    detail = {"email_id": "msg-000001", "to": ["Ann <ann@example.com>"], "from": "shop@example.com", "subject": "Hi"}
    payload = {"type": "email.delivered", "created_at": "2026-03-03T08:15:00Z", "data": detail}
    adapter, (event,) = drafted(shell, payload)
    assert (event["type"], event["data"]["recipient"]) == ("email.delivered", "ann@example.com")
    assert (event["data"]["subject"], event["data"]["from"]) == ("Hi", "shop@example.com")
    assert adapter.samples["email.delivered"]["created_at"] == "$iso"
    assert adapter.samples["email.delivered"]["data"]["to"] == ["Ann <$recipient>"]


def test_events_in_an_envelope_are_found(shell: Shell) -> None:
    inner = {"event": "opened", "id": "evt-0001", "recipient": "ann@example.com", "timestamp": f"{AT}.5"}
    _, (event,) = drafted(shell, {"signature": {"token": "x"}, "event-data": inner | {"user-variables": {"order": 7}}})
    assert (event["type"], event["timestamp"]) == ("email.open", "2026-03-03T08:15:00.500Z")
    assert event["data"]["metadata"] == {"order": 7}
    assert event["data"]["provider"]["event_id"] == "evt-0001"
    adapter, events = drafted(shell, {"version": 2, "events": [inner, inner | {"event": "soft-bounce"}]})
    assert [event["type"] for event in events] == ["email.open", "email.bounced"]
    assert events[1]["data"]["bounce"]["class"] == "soft"
    assert list(adapter.samples) == ["opened", "soft-bounce"]


@pytest.mark.parametrize(
    "time",
    [
        AT,
        AT * 1000,
        AT * 1_000_000,
        AT * 1_000_000_000,
        str(AT),
        float(AT),
        "2026-03-03T08:15:00+00:00",
        "2026-03-03 08:15:00",
        "Tue, 03 Mar 2026 08:15:00 +0000",
    ],
)
def test_the_unit_and_form_of_times_are_guessed(shell: Shell, time: Any) -> None:
    _, (event,) = drafted(shell, {"event": "delivered", "email": "ann@example.com", "ts": time})
    assert event["timestamp"] == "2026-03-03T08:15:00.000Z"


def test_an_rfc_message_id_is_told_from_the_providers_own(shell: Shell) -> None:
    ids = {"message-id": "<abc@mail.example.com>", "message": {"id": "m-000001"}, "uuid": "e-000001"}
    _, (event,) = drafted(shell, {"event": "sent", "to": "ann@example.com", "time": AT, **ids})
    data = event["data"]
    assert (data["email_id"], data["message_id"]) == ("m-000001", "abc@mail.example.com")
    assert data["provider"]["event_id"] == "e-000001"


def test_names_that_nobody_thought_of_are_known_by_what_stands_there(shell: Shell) -> None:
    mail = {"rfc": "<abc@mx.example.com>", "who": "Zoë <zoe@example.net>", "labels": "a, b", "said": "550 5.1.1 no"}
    occurrence = {"what": "MAIL_BOUNCED_HARD", "when_it_was": "2026-03-03 08:15:00", "sender": "shop@example.com"}
    _, (event,) = drafted(shell, {"tenant": {"id": 44}, "occurrence": occurrence, "mail": mail})
    data = event["data"]
    assert (event["type"], event["timestamp"]) == ("email.bounced", "2026-03-03T08:15:00.000Z")
    assert (data["recipient"], data["message_id"], data["tags"]) == (
        "zoe@example.net",
        "abc@mx.example.com",
        ["a", "b"],
    )
    assert (data["bounce"]["class"], data["bounce"]["enhanced_code"]) == ("hard", "5.1.1")
    assert data["provider"]["event_id"] is None, "44 is the tenant's"


def test_two_events_of_one_message_stay_two(shell: Shell) -> None:
    item = {"id": "m-000001", "email": "ann@example.com"}
    payload = [item | {"event": "open", "at": AT}, item | {"event": "open", "at": AT + 9}, item | {"event": "click"}]
    new(shell, payload, "--force")
    adapter = load_mapping((shell.folder / "acme.yaml").read_text(), "acme.yaml")
    events = read(adapter, payload[:2]).events
    assert len({event.dedup_key for event in events}) == 2


@pytest.mark.parametrize(
    ("pasted", "kind"),
    [
        (f"event=bounce&email=ann%40example.com&ts={AT}", "form"),
        (f'hooks=[{{"event":"bounce","email":"ann@example.com","ts":{AT}}}]', "form"),
        (f'{{"event":"bounce","email":"ann@example.com","ts":{AT}}}\n' * 2, "json_lines"),
    ],
)
def test_a_payload_need_not_be_one_json_document(shell: Shell, pasted: str, kind: str) -> None:
    adapter, events = drafted(shell, pasted)
    assert {(event["type"], event["data"]["recipient"]) for event in events} == {("email.bounced", "ann@example.com")}
    assert {event["timestamp"] for event in events} == {"2026-03-03T08:15:00.000Z"}
    assert adapter.decoders == [kind]


def test_what_is_not_known_is_left_open_and_told(shell: Shell) -> None:
    payload = {"what": "happened", "who": "ann@example.com"}
    ran = new(shell, payload)
    assert ran.code == 0
    assert {line.removeprefix("not found: ") for line in ran.err.splitlines()} == {
        "email_id",
        "timestamp",
        "native_type",
    }
    _, (event,) = drafted(shell, payload | {"event": "teleported"})
    assert (event["type"], event["data"]["recipient"]) == ("email.unknown", "ann@example.com")


def test_odd_names_and_values_are_written_so_that_they_are_read_back(shell: Shell) -> None:
    odd = {"on": "yes", "a:b": "#1", "it's": "- x", "null": None, "1": "2026-03-03", "ü\nx": "\t\u2028", "t": "~"}
    payload = {"event": "hard bounce: 5", "e-mail": "ann@example.com", "smtp-id": "<x1@example.com>", **odd}
    adapter, (event,) = drafted(shell, payload)
    assert event["data"]["message_id"] == "x1@example.com"
    sample = adapter.samples["hard bounce: 5"]
    assert {key: sample[key] for key in odd} == odd


def test_without_a_payload_an_example_stands_in(shell: Shell) -> None:
    assert shell.mailweir("mappings", "new", "acme").code == 0
    assert shell.mailweir("mappings", "check", "acme.yaml").code == 0


def test_a_file_that_is_there_is_kept(shell: Shell) -> None:
    assert shell.mailweir("mappings", "new", "acme").code == 0
    again = shell.mailweir("mappings", "new", "acme")
    assert again.code == 2
    assert "--force" in again.err


def test_the_folder_can_be_chosen(shell: Shell) -> None:
    (shell.folder / "own").mkdir()
    assert shell.mailweir("mappings", "new", "acme", "--output", "own").out == f"{Path('own', 'acme.yaml')}\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{", "is not JSON"),
        ("a b", "is not JSON"),
        ("a=1", "not about a message"),
        ("7", "neither an object nor an array"),
        ("[]", "holds no object"),
        ('{"event": "ping"}', "not about a message"),
        ("[" * 5000, "cannot be read"),
    ],
)
def test_a_payload_that_cannot_be_used_is_refused(shell: Shell, given: str, said: str) -> None:
    ran = shell.process("mappings", "new", "acme", "-", given=given)
    assert ran.code == 2
    assert said in ran.err
    assert not (shell.folder / "acme.yaml").exists()


@pytest.mark.parametrize(
    ("word", "type_"),
    [
        ("email.delivered", "email.delivered"),
        ("Message.Opened", "email.open"),
        ("hard_bounce", "email.bounced"),
        ("SpamReport", "email.complaint"),
        ("email.delivery_delayed", "email.deferred"),
        ("processed", "email.accepted"),
        ("teleported", None),
    ],
)
def test_the_words_of_providers_are_known(word: str, type_: str | None) -> None:
    assert unified_type(word) == type_


@pytest.mark.parametrize(
    ("word", "type_"),
    [("MAIL_BOUNCED_HARD", "email.bounced"), ("mailWasOpened", "email.open"), ("not_delivered", None), ("x", None)],
)
def test_a_word_is_known_by_its_parts(word: str, type_: str | None) -> None:
    assert likely_type(word) == type_


def test_a_way_becomes_an_expression() -> None:
    assert expression(("a", "b-c", 0, "d")) == 'a."b-c"[0].d'
