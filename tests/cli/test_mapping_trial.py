import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Shell

ACME = """provider: acme
verify: {scheme: token, header: x-token}
native_type: type
fields: {recipient: to, timestamp: at}
types: {gone: email.bounced, ping: ignored}
samples: {events: {gone: {type: gone, to: $recipient, at: $unix}}}
"""
GONE = {"type": "gone", "to": "ann@example.com", "at": 1_772_525_700}


@pytest.fixture
def acme(shell: Shell) -> Path:
    path = shell.folder / "acme.yaml"
    path.write_text(ACME)
    return path


def test_without_a_request_the_samples_are_tried(shell: Shell, acme: Path) -> None:
    tried = shell.mailweir("mappings", "try", str(acme)).row
    assert (tried["sample"], tried["status"]) == ("gone", 200)
    assert [event["type"] for event in tried["events"]] == ["email.bounced"]


@pytest.mark.parametrize(
    "given",
    [
        GONE,
        [GONE],
        {"body": json.dumps(GONE)},
        {"body_b64": base64.b64encode(json.dumps(GONE).encode()).decode(), "headers": {"X-Any": "1"}},
        {"request": {"body": json.dumps(GONE), "headers": {"X-Token": "abc"}}, "secrets": {"token": "abc"}},
    ],
)
def test_a_body_or_a_request_is_read(shell: Shell, acme: Path, given: Any) -> None:
    (shell.folder / "given.json").write_text(json.dumps(given))
    ran = shell.mailweir("mappings", "try", str(acme), "given.json")
    assert (ran.code, ran.row["status"]) == (0, 200), ran
    assert [event["data"]["recipient"] for event in ran.row["events"]] == ["ann@example.com"]


def test_what_cannot_be_read_is_told_and_fails_the_check(shell: Shell, acme: Path) -> None:
    given = json.dumps([GONE, GONE | {"type": "moved"}, {"type": "ping"}, GONE | {"via": "mx1"}])
    ran = shell.process("mappings", "try", str(acme), "-", given=given)
    assert ran.code == 1
    assert [item["index"] for item in ran.row["quarantined"]] == [1]
    assert ran.row["ignored"] == 1
    assert ran.row["unnamed"] == [
        {"index": 1, "native_type": "moved", "keys": []},
        {"index": 3, "native_type": None, "keys": ["via"]},
    ]


def test_a_wrong_secret_is_refused(shell: Shell, acme: Path) -> None:
    asked = {"request": {"body": json.dumps(GONE), "headers": {"X-Token": "no"}}, "secrets": {"token": "abc"}}
    (shell.folder / "given.json").write_text(json.dumps(asked))
    ran = shell.mailweir("mappings", "try", str(acme), "given.json")
    assert (ran.code, ran.row["status"], ran.row["events"]) == (1, 401, [])


@pytest.mark.parametrize(
    ("mapping", "given", "said"),
    [
        (ACME.replace("types:", "typs:"), "{}", "acme.yaml:5: typs"),
        (ACME, '{"request": {"headers": 5}}', "is not a request"),
    ],
)
def test_a_wrong_file_is_wrong_usage(shell: Shell, acme: Path, mapping: str, given: str, said: str) -> None:
    acme.write_text(mapping)
    (shell.folder / "given.json").write_text(given)
    ran = shell.mailweir("mappings", "try", str(acme), "given.json")
    assert ran.code == 2
    assert said in ran.err


def test_a_person_sees_it_spread_out(shell: Shell, acme: Path) -> None:
    shown = shell.on_a_terminal("mappings", "try", str(acme))
    assert '\n  "status": 200' in shown.replace("\r", "")
