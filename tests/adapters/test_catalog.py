"""The catalog: shipped mappings, the user's own, and which provider a request looks like."""

from pathlib import Path

import pytest

from adapters.catalog import Catalog
from adapters.errors import MappingInvalid, UnknownProvider
from adapters.request import NativeRequest
from tests.adapters.native_fixtures import CATALOG, native_request

ACME = """\
provider: acme
verify: none
recognize: header('x-acme')
native_type: kind
fields: {recipient: to, timestamp: at}
types: {sent: email.sent}
"""


def test_the_shipped_mappings_are_there() -> None:
    assert {"generic", "mailgun", "resend", "sendgrid"} <= set(CATALOG.names())
    for name in CATALOG.names():
        adapter = CATALOG.get(name)
        assert adapter.name == name
        assert adapter.title
        assert adapter.native_types
        assert adapter.samples


def test_an_unknown_provider_is_answered_with_the_closest_and_all_others() -> None:
    with pytest.raises(UnknownProvider, match=r"'sendgird'; did you mean 'sendgrid'\? known are .*mailgun"):
        CATALOG.get("sendgird")


def test_a_folder_of_mappings_adds_to_the_shipped_ones_and_replaces_them(tmp_path: Path) -> None:
    (tmp_path / "acme.yaml").write_text(ACME)
    (tmp_path / "resend.yaml").write_text(ACME.replace("acme", "resend"))
    (tmp_path / "notes.txt").write_text("no mapping")
    catalog = Catalog.load(tmp_path)
    assert set(catalog.names()) == {*CATALOG.names(), "acme"}
    assert catalog.get("resend").native_types == ("sent",)


def test_a_mapping_under_another_name_than_its_own_is_refused(tmp_path: Path) -> None:
    (tmp_path / "acne.yaml").write_text(ACME)
    with pytest.raises(MappingInvalid, match=r"acne\.yaml.*acme\.yaml"):
        Catalog.load(tmp_path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"provider: acme\n"])
def test_a_mapping_that_cannot_be_used_is_named_with_its_path(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "acme.yaml").write_bytes(content)
    with pytest.raises(MappingInvalid) as refusal:
        Catalog.load(tmp_path)
    assert refusal.value.file == str(tmp_path / "acme.yaml")


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MappingInvalid, match="not a folder"):
        Catalog.load(tmp_path / "gone")


@pytest.mark.parametrize(
    ("headers", "body", "names"),
    [
        ({"svix-id": "msg_1"}, {"type": "email.sent", "created_at": "2026-01-01T00:00:00Z"}, ["resend"]),
        ({"svix-id": "msg_1"}, {"type": "invoice.paid", "created_at": "2026-01-01T00:00:00Z"}, []),
        ({"x-twilio-email-event-webhook-signature": "x"}, [], ["sendgrid"]),
        ({}, [{"event": "open", "sg_event_id": "e"}], ["sendgrid"]),
        ({}, [{"event": "open", "email": "ann@example.net", "timestamp": 1767225600}], ["sendgrid"]),
        ({}, {"signature": {"token": "t"}, "event-data": {"event": "opened"}}, ["mailgun"]),
        ({"content-type": ""}, "token=t&timestamp=1&signature=s&recipient=a%40b", ["mailgun"]),
        ({"x-webhook-signature": "00"}, {"type": "email.sent", "timestamp": 1}, ["generic"]),
        ({}, {"type": "email.sent"}, []),
        ({}, "{broken", []),
        ({"svix-id": "msg_1"}, {"type": 7, "created_at": 7}, []),
        ({}, "", []),
    ],
    ids=str,
)
def test_a_request_is_recognized_by_its_shape(headers: dict[str, str], body: object, names: list[str]) -> None:
    request = native_request(body, headers)
    assert [adapter.name for adapter in CATALOG.recognize(request)] == names
    assert [name for name in CATALOG.names() if CATALOG.get(name).recognizes(request)] == names


def test_a_request_without_anything_is_nobodys() -> None:
    assert CATALOG.recognize(NativeRequest(method="GET", headers={}, body=b"")) == []
