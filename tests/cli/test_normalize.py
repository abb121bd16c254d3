import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from tests.adapters import sns_messages
from tests.cli.terminal import Ran, Shell

AT = 1_772_525_700
SECRET = "a key of mailgun's"
FIRST = "t1"


def _line(body: Any, secrets: dict[str, Any] | None = None, at: float | None = AT, **request: Any) -> str:
    text = body if isinstance(body, str) else json.dumps(body)
    request = {"method": "POST", "path": "/hook", "headers": {}, "body": text, **request}
    return json.dumps({"request": request, "secrets": secrets, "at": at})


def _sendgrid(event: str = "bounce", **fields: Any) -> dict[str, Any]:
    return {"event": event, "email": "ann@example.com", "timestamp": AT, "sg_message_id": "m1.filter0", **fields}


def _mailgun(event_id: str, token: str = FIRST, key: str = SECRET, at: int = AT) -> dict[str, Any]:
    signature = hmac.new(key.encode(), f"{at}{token}".encode(), hashlib.sha256).hexdigest()
    headers = {"message-id": f"{event_id}@mg.example.com"}
    event = {"event": "opened", "id": event_id, "timestamp": at, "recipient": "a@b.c", "message": {"headers": headers}}
    return {"signature": {"timestamp": str(at), "token": token, "signature": signature}, "event-data": event}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _normalize(shell: Shell, provider: str, *lines: str) -> Ran:
    return shell.process("normalize", provider, given="".join(f"{line}\n" for line in lines))


def test_each_request_becomes_one_line_of_complete_events(shell: Shell) -> None:
    result = _normalize(shell, "sendgrid", _line([_sendgrid(reason="550 5.1.1 gone"), _sendgrid("open")])).row
    first, second = result["events"]
    assert (result["status"], result["quarantined"], result["error"]) == (200, [], None)
    assert first["type"] == "email.bounced"
    assert first["timestamp"] == "2026-03-03T08:15:00.000Z"
    assert first["data"]["bounce"]["smtp_code"] == 550
    assert first["data"]["provider"]["source"] == "sendgrid"
    assert first["data"]["received_at"] == "2026-03-03T08:15:00.000Z"
    assert first["id"].startswith("evt_")
    assert first["id"] < second["id"]
    assert {"org_id", "env_id", "schema_version"} <= set(first)


def test_bad_lines_are_answered_one_by_one_and_end_nothing(shell: Shell) -> None:
    bad = ["", "no json", "[]", "{}", '{"request": {"body_b64": "@"}}', '{"request": {"body": 5}}', "[" * 100_000]
    ran = _normalize(shell, "sendgrid", *bad, _line([_sendgrid()]))
    assert [row["status"] for row in ran.rows] == [400] * len(bad) + [200]
    assert all(row["error"] and not row["events"] for row in ran.rows[:-1])
    assert ran.code == 0


STATUSES = {
    "one bad item of a batch": (_line([_sendgrid("novel"), _sendgrid()]), 200, [0]),
    "a body that is not JSON": (_line("no json"), 200, [None]),
    "another method": (_line([_sendgrid()], method="GET"), 405, []),
    "a body in base64": (json.dumps({"request": {"body_b64": _base64(json.dumps([_sendgrid()]))}}), 200, []),
    "no secret to verify with": (_line([_sendgrid()], secrets={}), 401, []),
    "no proof": (_line([_sendgrid()], secrets={"basic_auth": ["old:one", "new:one"]}), 401, []),
    "either of two secrets": (
        _line(
            [_sendgrid()],
            secrets={"basic_auth": ["old:one", "new:one"]},
            headers={"Authorization": f"Basic {_base64('new:one')}"},
        ),
        200,
        [],
    ),
}


def test_the_status_is_that_of_the_gateway(shell: Shell) -> None:
    rows = _normalize(shell, "sendgrid", *(line for line, _, _ in STATUSES.values())).rows
    found = {
        name: (row["status"], [item["index"] for item in row["quarantined"]])
        for name, row in zip(STATUSES, rows, strict=True)
    }
    assert found == {name: (status, quarantined) for name, (_, status, quarantined) in STATUSES.items()}


def test_the_address_that_a_request_comes_from_is_given_with_it(shell: Shell) -> None:
    asked = {"secrets": {}, "options": {"networks": "published"}}
    lines = [json.dumps({**asked, "request": {"body": "{}", **at}}) for at in ({"client": "1.179.112.9"}, {})]
    assert [row["status"] for row in _normalize(shell, "brevo", *lines).rows] == [200, 401]


def test_the_body_limit_of_the_settings_holds(shell: Shell) -> None:
    shell.settings["body_bytes_max"] = "20"
    assert _normalize(shell, "sendgrid", _line([_sendgrid()])).row["status"] == 413


def test_age_and_signature_are_checked_as_asked(shell: Shell) -> None:
    secrets = {"signing_secret": SECRET}
    late = AT + 86_400
    ran = _normalize(
        shell,
        "mailgun",
        _line(_mailgun("fresh"), secrets),
        _line(_mailgun("forged", "t2", key="another"), secrets),
        _line(_mailgun("forged", "t3", key="another"), None),
        _line(_mailgun("late", "t4"), secrets, at=late),
        _line(_mailgun("late", "t5"), secrets, at=None),
    )
    assert [row["status"] for row in ran.rows] == [200, 406, 200, 406, 200]


def test_a_single_use_token_counts_once_in_a_run_unless_time_is_left_out(shell: Shell) -> None:
    secrets = {"signing_secret": SECRET}
    lines = [_line(_mailgun("one"), secrets), _line(_mailgun("one"), secrets), _line(_mailgun("one"), secrets, at=None)]
    ran = _normalize(shell, "mailgun", *lines)
    assert [row["status"] for row in ran.rows] == [200, 406, 200]
    assert "single-use token" in ran.rows[1]["error"]


def test_a_mapping_file_can_be_tried_before_it_is_installed(shell: Shell, tmp_path: Path) -> None:
    mapping = tmp_path / "draft.yaml"
    mapping.write_text(
        "provider: acme\nverify: none\nnative_type: what\n"
        "fields: {recipient: who, timestamp: at}\ntypes: {gone: email.bounced}\n"
    )
    given = _line({"what": "gone", "who": "a@b.c", "at": AT})
    result = shell.process("normalize", "acme", "--mapping", str(mapping), given=given).row
    assert [event["type"] for event in result["events"]] == ["email.bounced"]
    other = shell.process("normalize", "other", "--mapping", str(mapping), given=given)
    assert (other.code, other.out) == (2, "")
    assert "the mapping of 'acme'" in other.err


def test_an_unknown_provider_is_wrong_usage(shell: Shell) -> None:
    ran = _normalize(shell, "nosuch")
    assert ran.code == 2
    assert "known are" in ran.err


def test_what_sns_signs_is_verified_with_the_options_and_certificates_of_the_line(shell: Shell) -> None:
    mail = {"messageId": "m1", "timestamp": "2026-01-01T00:00:00Z", "destination": ["ann@example.com"]}
    message = sns_messages.notification({"eventType": "Send", "mail": mail, "send": {}})
    given = {
        "request": {"body": json.dumps(message)},
        "secrets": {},
        "options": {"topic_arns": [sns_messages.TOPIC]},
        "certificates": {sns_messages.CERTIFICATE_URL: sns_messages.certificate().decode()},
    }
    other_topic = {**given, "options": {"topic_arns": [f"{sns_messages.TOPIC}-2"]}}
    lines = [json.dumps(line) for line in (given, {**given, "certificates": {}}, other_topic)]
    rows = _normalize(shell, "amazon_ses", *lines).rows
    assert [(row["status"], len(row["events"])) for row in rows] == [(200, 1), (503, 0), (401, 0)]


def test_handshakes_are_answered_as_the_gateway_would(shell: Shell) -> None:
    probe = _line("", {"signing_secret": "key"}, method="GET")
    put = _line("", {"signing_secret": "key"}, method="PUT")
    assert [row["status"] for row in _normalize(shell, "unisender_go", probe, put).rows] == [200, 405]
