"""The verbs that talk to a running gateway, against one."""

import json
import stat
from typing import Any

import httpx
import pytest

from tests.cli.terminal import Ran, Shell, free_port
from tests.servers import PLAIN

NOBODY_LISTENS = "http://127.0.0.1:1/hook"


def _ok(ran: Ran) -> Ran:
    assert ran.code == 0, ran.err
    return ran


def _source(gateway: Shell, name: str, provider: str) -> None:
    _ok(gateway.mailweir("sources", "add", name, provider, "--simulated"))


def _only(gateway: Shell, verb: str, *filters: str) -> Any:
    return _ok(gateway.mailweir(verb, "list", *filters, "--limit", "1")).row


def test_sources_are_added_shown_and_removed(gateway: Shell) -> None:
    key = gateway.folder / "key.txt"
    key.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    secrets = ("--secret", f"signing_secret=@{key}", "--secret", "basic_auth=ann:pass")
    added = _ok(gateway.mailweir("sources", "add", "shop", "resend", *secrets)).row
    assert added["secrets"] == {"signing_secret": "set", "basic_auth": "set"}
    assert added["url"].endswith("/api/webhooks/shop")
    assert _ok(gateway.mailweir("sources", "show", "shop")).row == added
    assert added in _ok(gateway.mailweir("sources", "list")).rows
    assert _ok(gateway.mailweir("sources", "remove", "shop")).out == ""
    assert gateway.mailweir("sources", "show", "shop").code == 1


def test_a_source_that_proves_nothing_must_be_asked_for(gateway: Shell) -> None:
    refused = gateway.mailweir("sources", "add", "open", "sendgrid")
    assert refused.code == 1
    assert "secrets.public_key" in refused.err
    added = _ok(gateway.mailweir("sources", "add", "open", "sendgrid", "--no-verification")).row
    assert added["verification"] == "none"


def test_drift_lists_what_a_mapping_does_not_name(gateway: Shell) -> None:
    added = _ok(gateway.mailweir("sources", "add", "news", "sendgrid", "--no-verification")).row
    assert _ok(gateway.mailweir("sources", "drift", "news")).rows == []
    unheard_of = [{"event": "teleported", "email": "ann@example.com"}]
    assert httpx.post(added["url"], json=unheard_of, verify=PLAIN).status_code == 200
    found = _ok(gateway.mailweir("sources", "drift", "news")).row
    assert (found["kind"], found["name"], found["count"], found["named"]) == ("type", "teleported", 1, False)
    assert gateway.mailweir("sources", "drift", "nobody").code == 1


def test_endpoints_are_added_tested_enabled_and_removed(gateway: Shell) -> None:
    options = ("--header", "X-Tenant=blue", "--retry-schedule-s", "5,60", "--max-in-flight", "2", "--inactive")
    options += ("--retry-max-age-s", "60", "--retry-on", "5xx, 429")
    added = _ok(
        gateway.mailweir("endpoints", "add", NOBODY_LISTENS, "open, click", "--filter", "data.recipient", *options)
    ).row
    number = str(added["id"])
    assert added["secret"].startswith("whsec_")
    assert (added["events"], added["filter"], added["active"]) == ("open,click", "data.recipient", False)
    assert (added["headers"], added["retry_schedule_s"]) == ({"X-Tenant": "blue"}, [5, 60])
    assert (added["retry_max_age_s"], added["retry_on"]) == (60, ["5xx", 429])
    assert "secret" not in _ok(gateway.mailweir("endpoints", "show", number)).row
    assert gateway.mailweir("endpoints", "test", number).code == 1
    rotated = _ok(gateway.mailweir("endpoints", "rotate-secret", number, "--overlap-s", "60")).row
    assert rotated["secret"] not in ("", added["secret"])
    assert len(rotated["old_secrets"]) == 1
    assert _ok(gateway.mailweir("endpoints", "enable", number)).row["active"] is True
    assert _ok(gateway.mailweir("endpoints", "pause", number)).row["state"] == "paused"
    enabled = _ok(gateway.mailweir("endpoints", "enable", number, "--drop-held")).row
    assert (enabled["state"], enabled["cancelled"]) == ("healthy", 0)
    assert _ok(gateway.mailweir("endpoints", "test", number)).row["event_id"].startswith("evt_")
    assert "Why not" in gateway.on_a_terminal("endpoints", "list")
    _ok(gateway.mailweir("endpoints", "remove", number))
    assert gateway.mailweir("endpoints", "show", number).code == 1


def test_a_triggered_event_can_be_followed_to_its_delivery_and_sent_again(gateway: Shell) -> None:
    endpoint = _ok(gateway.mailweir("endpoints", "add", NOBODY_LISTENS, "bounce")).row
    _source(gateway, "sendgrid", "sendgrid")
    sent = _ok(gateway.mailweir("trigger", "sendgrid", "bounce,email.click", "--recipient", "bob@example.com")).row
    assert (sent["events"], sent["status"]) == (["bounce", "click"], 200)
    event = _only(gateway, "events", "--type", "bounced", "--recipient", "bob@example.com")
    shown = _ok(gateway.mailweir("events", "show", event["id"])).row
    assert shown["event"]["data"]["bounce"]["class"] == "hard"
    delivery = _only(gateway, "deliveries", "--endpoint-id", str(endpoint["id"]))
    assert delivery["event_id"] == event["id"]
    shaped = _ok(gateway.mailweir("endpoints", "try", str(endpoint["id"]), "--transform", "{who: data.recipient}")).rows
    assert {
        "id": event["id"],
        "type": "email.bounced",
        "matched": True,
        "result": {"who": "bob@example.com"},
        "error": None,
    } in shaped
    detail = _ok(gateway.mailweir("deliveries", "show", delivery["id"])).row
    assert detail["delivery"]["id"] == delivery["id"]
    assert _ok(gateway.mailweir("replay", event["id"], "--endpoint", str(endpoint["id"]))).row["delivery_ids"]
    receipt = _only(gateway, "receipts", "--source", "sendgrid")
    assert _ok(gateway.mailweir("receipts", "show", receipt["id"])).row["request"]["method"] == "POST"
    assert _ok(gateway.mailweir("receipts", "reprocess", receipt["id"])).row["events"] == 0
    assert _ok(gateway.mailweir("receipts", "reprocess", "--source", "sendgrid", "--status", "accepted")).row == {
        "receipts": 1,
        "events": 0,
        "quarantined": 0,
        "skipped": 0,
    }


def test_many_events_are_sent_again_as_a_job(gateway: Shell) -> None:
    endpoint = _ok(gateway.mailweir("endpoints", "add", NOBODY_LISTENS, "complaint", "--inactive")).row
    number = str(endpoint["id"])
    _source(gateway, "again", "mailgun")
    _ok(gateway.mailweir("trigger", "mailgun", "open", "--source", "again", "--count", "3"))
    which = ("replay", "--source", "again", "--type", "open", "--endpoint", number)
    proposed = _ok(gateway.mailweir(*which, "--dry-run")).row
    assert (proposed["id"], proposed["state"], proposed["total"]) == (None, "proposed", 3)
    done = _ok(gateway.mailweir(*which)).row
    assert (done["state"], done["done"]) == ("done", 3)
    slow = _ok(gateway.mailweir(*which, "--per-second", "0.1", "--detach")).row
    assert slow["state"] == "running"
    assert _ok(gateway.mailweir("jobs", "cancel", slow["id"])).row["state"] == "cancelled"
    assert _ok(gateway.mailweir("jobs", "show", done["id"])).row == done
    assert [job["id"] for job in _ok(gateway.mailweir("jobs", "list", "--state", "cancelled")).rows] == [slow["id"]]
    assert "3/3" in gateway.on_a_terminal("replay", *which[1:])


def test_an_endpoint_recovers_and_failures_are_retried(gateway: Shell) -> None:
    endpoint = _ok(gateway.mailweir("endpoints", "add", NOBODY_LISTENS, "received")).row
    since = ("--since", "2026-03-03T00:00:00Z")
    recover = ("recover", str(endpoint["id"]), *since)
    assert _ok(gateway.mailweir(*recover, "--status", "missing", "--dry-run")).row["kind"] == "recover_missing"
    assert _ok(gateway.mailweir(*recover)).row["state"] == "done"
    retried = _ok(gateway.mailweir("deliveries", "retry", "--endpoint-id", str(endpoint["id"]), *since)).row
    assert (retried["kind"], retried["total"]) == ("recover_failed", 0)
    assert "say which" in gateway.mailweir("replay").err


def test_a_provider_that_does_not_batch_gets_one_request_per_event(gateway: Shell) -> None:
    _source(gateway, "resend", "resend")
    sent = _ok(gateway.mailweir("trigger", "resend", "click,email.bounced/suppressed", "--count", "2")).rows
    assert [row["events"] for row in sent] == [["email.clicked"], ["email.bounced/suppressed"]] * 2
    assert len(_ok(gateway.mailweir("events", "list", "--source", "resend")).rows) == 4


def test_a_list_goes_on_over_pages_until_the_limit(gateway: Shell) -> None:
    _source(gateway, "many", "mailgun")
    _ok(gateway.mailweir("trigger", "mailgun", "open", "--source", "many", "--count", "210"))
    rows = _ok(gateway.mailweir("events", "list", "--source", "many", "--limit", "205")).rows
    assert len({row["id"] for row in rows}) == 205


def test_the_keys_of_a_simulated_account_are_made_once_for_its_owner_alone(gateway: Shell) -> None:
    first, again = (_ok(gateway.mailweir("trigger", "mailgun", "--secrets")).out for _ in range(2))
    assert first == again
    assert set(json.loads(first)) == {"signing_secret"}
    kept = gateway.folder / "data" / "trigger" / "mailgun.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_trigger_lists_what_it_can_send(gateway: Shell) -> None:
    rows = _ok(gateway.mailweir("trigger", "sendgrid", "--list")).rows
    assert {"event": "bounce/blocked", "type": "email.bounced"} in rows


def test_trigger_signs_with_the_secret_it_is_given(gateway: Shell) -> None:
    _ok(gateway.mailweir("sources", "add", "given", "generic", "--secret", "signing_secret=the-shared-secret"))
    wrong = gateway.mailweir("trigger", "generic", "email.open", "--source", "given")
    assert wrong.code == 1
    assert wrong.row["status"] == 401
    assert "--signing-secret" in wrong.err
    right = ("--signing-secret", "signing_secret=the-shared-secret")
    _ok(gateway.mailweir("trigger", "generic", "email.open", "--source", "given", *right))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["trigger", "sendgrid", "bounce", "--source", "nowhere"], 1, "mailweir sources add nowhere sendgrid"),
        (["trigger", "sendgrid", "novel"], 2, "no sample of 'novel'"),
        (["trigger", "nosuch", "bounce"], 2, "no provider is called 'nosuch'"),
        (["endpoints", "add", "http://10.0.0.1/", "bounce"], 1, "the gateway refused (422): url:"),
        (["endpoints", "add", NOBODY_LISTENS, "bonce"], 1, "bounce"),
        (["sources", "add", "x", "resend", "--option", "region=eu"], 1, "options.region: unknown option"),
        (["events", "show", "evt_nosuch"], 1, "the gateway refused (404)"),
        (["events", "list", "--since", "yesterday"], 1, "since"),
        (["deliveries", "retry", "dlv_nosuch"], 1, "the gateway refused (404)"),
        (["sources", "list", "--api-key", "mw_live_of_nobody"], 1, "(check --api-key or MAILWEIR_API_KEY)"),
        (["sources", "list", "--url", f"http://127.0.0.1:{free_port()}"], 1, "start it with `mailweir serve`"),
    ],
)
def test_what_the_gateway_refuses_is_said_in_its_words(
    gateway: Shell, arguments: list[str], code: int, message: str
) -> None:
    ran = gateway.mailweir(*arguments)
    assert ran.code == code
    assert message in ran.err
    assert "Traceback" not in ran.err


def test_a_table_shows_control_characters_and_markup_as_text(gateway: Shell) -> None:
    _ok(gateway.mailweir("sources", "add", "odd", "generic", "--secret", "signing_secret=the-shared-secret"))
    signed = ("--source", "odd", "--signing-secret", "signing_secret=the-shared-secret")
    _ok(gateway.mailweir("trigger", "generic", "email.open", "--recipient", "\x1b[2J[red]x", *signed))
    seen = gateway.on_a_terminal("events", "list", "--source", "odd")
    assert "[2j[red]x" in seen  # addresses are kept in small letters
    assert "\x1b[2J" not in seen


def test_stats_tell_numbers_of_all_or_of_one(gateway: Shell) -> None:
    _source(gateway, "counted", "resend")
    _ok(gateway.mailweir("trigger", "resend", "delivered", "--source", "counted"))
    whole = _ok(gateway.mailweir("stats")).row
    assert whole["inbound"]["receipts"]["accepted"] >= 1
    of_source = _ok(gateway.mailweir("stats", "--source", "counted", "--bucket", "1h")).row
    assert (of_source["inbound"]["receipts"], of_source["bucket"]) == ({"accepted": 1}, "1h")
    assert len(_ok(gateway.mailweir("stats", "--series", "--bucket", "1d")).rows) in (1, 2)
    assert "inbound.receipts.accepted" in gateway.on_a_terminal("stats")
    assert gateway.mailweir("stats", "--source", "counted", "--endpoint", "1").code == 2
    assert gateway.mailweir("stats", "--endpoint", "999").code == 1


def test_keys_are_made_listed_and_revoked(gateway: Shell) -> None:
    made = _ok(gateway.mailweir("keys", "create", "billing", "--role", "write")).row
    assert (made["name"], made["role"], made["revoked_at"]) == ("billing", "write", None)
    assert _ok(gateway.mailweir("events", "list", "--api-key", made["key"])).rows is not None
    assert gateway.mailweir("keys", "list", "--api-key", made["key"]).code == 1
    listed = _ok(gateway.mailweir("keys", "list")).rows
    assert [key["id"] for key in listed if key["name"] == "billing"] == [made["id"]]
    assert made["key"] not in str(listed)
    _ok(gateway.mailweir("keys", "revoke", str(made["id"])))
    assert gateway.mailweir("events", "list", "--api-key", made["key"]).code == 1
    (last,) = [key for key in listed if key["role"] == "admin"]
    assert "last admin key" in gateway.mailweir("keys", "revoke", str(last["id"])).err


def test_alert_rules_are_listed_added_changed_and_removed(gateway: Shell) -> None:
    _source(gateway, "watched", "resend")
    assert len(_ok(gateway.mailweir("alerts", "list")).rows) >= 7
    added = _ok(gateway.mailweir("alerts", "add", "bounce_rate", "--name", "Shop", "--source", "watched")).row
    number = str(added["id"])
    changed = _ok(gateway.mailweir("alerts", "change", number, "--threshold", "0.2", "--window-s", "600")).row
    assert changed["rule"] == "Of at least 200 messages of watched within 10 min, 20 % or more bounce."
    assert _ok(gateway.mailweir("alerts", "pause", number)).row["active"] is False
    assert _ok(gateway.mailweir("alerts", "resume", number)).row["active"] is True
    assert _ok(gateway.mailweir("alerts", "show", number)).row["name"] == "Shop"
    assert _ok(gateway.mailweir("alerts", "list", "--firing")).rows == []
    assert "Fires when" in gateway.on_a_terminal("alerts", "list")
    _ok(gateway.mailweir("alerts", "remove", number))
    assert gateway.mailweir("alerts", "show", number).code == 1
