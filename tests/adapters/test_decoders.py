"""Bodies as providers send them, and bodies that nobody should."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.decoders import DECODERS, DEPTH_MAX, FORM_FIELDS_MAX, ITEMS_MAX, decode, parse_json
from adapters.errors import DecodeFailed
from adapters.request import NativeRequest

FORM = "application/x-www-form-urlencoded"
MULTIPART = 'multipart/form-data; boundary="frontier"'


def decoded(kind: str, body: bytes, content_type: str = "application/json", **parts: str) -> Any:
    return decode(kind, NativeRequest(headers={"content-type": content_type}, body=body, **parts))


def refusal(kind: str, body: bytes, content_type: str = "application/json", **parts: str) -> str:
    with pytest.raises(DecodeFailed) as caught:
        decoded(kind, body, content_type, **parts)
    assert type(caught.value) is DecodeFailed
    return str(caught.value)


def multipart(*parts: tuple[str, bytes]) -> bytes:
    """A multipart body of (headers of the part after `form-data; `, content)."""
    lines = [
        b"--frontier\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + body for head, body in parts
    ]
    return b"\r\n".join([*lines, b"--frontier--\r\n"])


# JSON


def test_big_integers_stay_exact() -> None:
    assert decoded("json", b'{"MessageID": 1234567890123456789012345678901234567890}') == {
        "MessageID": 1234567890123456789012345678901234567890
    }


def test_a_byte_order_mark_is_no_part_of_the_body() -> None:
    for kind in ("json", "json_lines", "auto"):
        assert decoded(kind, b'\xef\xbb\xbf{"a": "\xc3\xa9"}') == {"a": "é"}
    assert decoded("text", b"\xef\xbb\xbf\xc3\xa9") == "é"


def test_half_of_an_emoji_does_not_lose_the_event() -> None:
    body = rb'{"subject": "cut \ud83d", "whole": "\ud83d\ude00", "two": "\ude00\ud83d", "backslash": "\\ud83d"}'
    assert decoded("json", body) == {
        "subject": "cut \ufffd",
        "whole": "\U0001f600",
        "two": "\ufffd\ufffd",
        "backslash": "\\ud83d",
    }


def test_of_a_repeated_key_the_last_value_counts() -> None:
    assert decoded("json", b'{"a": 1, "a": 2}') == {"a": 2}


NO_JSON = [b"", b" \r\n", b"{", b'{"a": 1', b"[1,]", b"{'a': 1}", b"{} {}", b"{}\x00", b"\x00", b"<x/>"]
NO_NUMBER = [b'{"a": NaN}', b"[Infinity]", b"[1e999]", b"[01]", b"[" + b"9" * 5_000 + b"]"]
NO_TEXT = [b'{"a": "\xff"}', b'"\xed\xa0\x80"', b'{"a": "\x01"}', '{"a": 1}'.encode("utf-16"), rb'{"\ud800']
NO_CONTAINER = [b"3", b"null", b'"text"']


@pytest.mark.parametrize("body", [*NO_JSON, *NO_NUMBER, *NO_TEXT, *NO_CONTAINER])
def test_what_is_no_json_object_or_array_is_refused(body: bytes) -> None:
    assert refusal("json", body).startswith("the body ")


def test_nesting_is_limited() -> None:
    assert decoded("json", b"[" * DEPTH_MAX + b"]" * DEPTH_MAX)
    assert decoded("json", b'{"a":' * DEPTH_MAX + b'"leaf"' + b"}" * DEPTH_MAX)
    for body in (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), b"[" * 1_000_000, b'{"a":' * 100_000):
        for kind in ("json", "json_lines", "auto"):
            refusal(kind, body)
    assert "64 deep" in refusal("json", b"[" * 900 + b"]" * 900)


def test_many_brackets_side_by_side_or_in_text_are_not_depth() -> None:
    body = json.dumps([{"text": "[" * 100}] * 100).encode()
    assert len(decoded("json", body)) == 100


def test_items_are_limited() -> None:
    assert len(decoded("json", b"[" + b"0," * (ITEMS_MAX - 1) + b"0]")) == ITEMS_MAX
    assert "20,001 items" in refusal("json", b"[" + b"0," * ITEMS_MAX + b"0]")
    assert "20,001 items" in refusal("json_lines", b"{}\n" * (ITEMS_MAX + 1))


def test_a_json_text_inside_a_field_may_be_of_any_type() -> None:
    assert parse_json('"é"') == "é"
    assert parse_json("\ufeff[1]") == [1]
    with pytest.raises(DecodeFailed):
        parse_json("\udcff")


# JSON Lines


def test_each_line_is_a_document() -> None:
    assert decoded("json_lines", b'{"a": 1}\r\n\r\n{"a": 2}\n[3]\n') == [{"a": 1}, {"a": 2}, [3]]


@pytest.mark.parametrize("body", [b'{"events": []}', b'{"events": []}\n', b'{\n "events":\n []\n}'])
def test_one_document_is_what_json_makes_of_it(body: bytes) -> None:
    assert decoded("json_lines", body) == {"events": []}


def test_a_line_that_is_not_json_does_not_spoil_the_others() -> None:
    assert decoded("json_lines", b'{"a": 1}\n{"a": \n{"a": 3}') == [{"a": 1}, '{"a": ', {"a": 3}]
    refusal("json_lines", b"one\ntwo")
    refusal("json_lines", b"")


# Forms and queries


def test_a_form_gives_text_by_name() -> None:
    assert decoded("form", b"a=1&b=%C3%A9+x%2B&empty=&bare", FORM) == {"a": "1", "b": "é x+", "empty": "", "bare": ""}


def test_a_repeated_name_keeps_its_first_value_and_lists_them_all() -> None:
    assert decoded("form", b"a=1&b=x&a=2&a=", FORM) == {"a": "1", "b": "x", "a[]": ["1", "2", ""]}


def test_a_multipart_form_gives_text_and_describes_files() -> None:
    body = multipart(
        ('name="a"', "é".encode()),
        ('name="a"', b"second"),
        ('name="latin"\r\nContent-Type: text/plain; charset=iso-8859-1', b"\xe9"),
        ('name="odd"\r\nContent-Type: text/plain; charset=punycode', b"\xff"),
        ('name="attachment-1"; filename="a.pdf"\r\nContent-Type: application/pdf', b"\x00\xff" * 50),
        ('name="attachment-2"; filename=""', b""),
    )
    files = {
        "attachment-1": {"filename": "a.pdf", "content_type": "application/pdf", "size": 100},
        "attachment-2": {"filename": "", "content_type": "application/octet-stream", "size": 0},
    }
    texts = {"a": "é", "latin": "é", "odd": "\ufffd", "a[]": ["é", "second"]}
    assert decoded("form", body, MULTIPART) == texts | files
    assert decoded("auto", body, MULTIPART) == texts | files


def test_form_text_in_another_encoding_is_marked_and_not_lost() -> None:
    assert decoded("form", b"subject=caf%E9", FORM) == {"subject": "caf\ufffd"}
    assert decoded("form", multipart(('name="subject"', b"caf\xe9")), MULTIPART) == {"subject": "caf\ufffd"}


def test_form_fields_are_limited() -> None:
    assert len(decoded("form", b"&".join(b"f%d=x" % n for n in range(FORM_FIELDS_MAX)), FORM)) == FORM_FIELDS_MAX
    assert "2,000 fields" in refusal("form", b"a=&" * (FORM_FIELDS_MAX + 1), FORM)
    refusal("form", multipart(*[('name="a"', b"")] * (FORM_FIELDS_MAX + 1)), MULTIPART)
    refusal("query", b"", url="https://hooks.example.com/?" + "a=&" * (FORM_FIELDS_MAX + 1))


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (multipart(('name="a"', b"1")), "multipart/form-data"),
        (multipart(('name="a"', b"1")), "multipart/form-data; boundary=other"),
        (multipart(('name="a"', b"1")), "multipart/form-data; boundary=\udcff"),
        (multipart(('name="a"', b"1"))[:-8], MULTIPART),
        (multipart(('name="a"; x="' + "x" * 20_000, b"1")), MULTIPART),
        (b"", MULTIPART),
        (b"a=1", MULTIPART),
    ],
)
def test_a_broken_multipart_form_is_refused(body: bytes, content_type: str) -> None:
    assert refusal("form", body, content_type).startswith("the multipart form cannot be read")


def test_a_query_has_the_shape_of_a_form() -> None:
    url = "https://hooks.example.com/in?status=Sent&to=a%40b.c&to=d"
    assert decoded("query", b"ignored", url=url) == {"status": "Sent", "to": "a@b.c", "to[]": ["a@b.c", "d"]}
    assert decoded("query", b"") == {}
    refusal("query", b"", url="https://[bad/?a=1")


# Text, and bodies of several kinds


def test_text_must_be_utf8() -> None:
    assert decoded("text", "é".encode()) == "é"
    assert "byte 1" in refusal("text", b"a\xff")


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b' {"a": 1}', "application/json; charset=utf-8", {"a": 1}),
        (b'[{"a": 1}]', "text/plain; charset=UTF-8", [{"a": 1}]),
        (b'{"a": "x=y"}', FORM, {"a": "x=y"}),
        (b'{"a": 1}', "", {"a": 1}),
        (b"%7B%22a%22%3A+1%7D", FORM, {"a": 1}),
        (b"%5B1%5D", "", [1]),
        (b"a=%7B%7D", FORM, {"a": "{}"}),
        (b"a=1", "", {"a": "1"}),
        (b"a=1", "text/plain", {"a": "1"}),
    ],
)
def test_auto_goes_by_the_look_of_the_body(body: bytes, content_type: str, expected: Any) -> None:
    assert decoded("auto", body, content_type) == expected


def test_auto_reads_the_query_of_a_get_without_a_body() -> None:
    url = "https://hooks.example.com/in?status=Sent"
    assert decoded("auto", b"", "", url=url, method="GET") == {"status": "Sent"}
    refusal("auto", b"", "", url=url, method="POST")


def test_auto_refuses_what_it_does_not_know() -> None:
    for body in (b"", b"hello", b"%7Bnot json", b"<xml/>"):
        refusal("auto", body, "text/plain")


@given(
    kind=st.sampled_from(list(DECODERS)),
    method=st.sampled_from(["GET", "POST"]),
    content_type=st.text(st.characters(exclude_categories=()), max_size=60) | st.sampled_from([FORM, MULTIPART]),
    url=st.text(st.characters(exclude_categories=()), max_size=60),
    body=st.binary(max_size=200) | st.text(st.sampled_from('[]{}",:\\u0d8=&%7\n-fronti'), max_size=80).map(str.encode),
)
@settings(max_examples=400, deadline=None)
def test_no_request_makes_a_decoder_raise_anything_else(
    kind: str, method: str, content_type: str, url: str, body: bytes
) -> None:
    with contextlib.suppress(DecodeFailed):
        decoded(kind, body, content_type, url=url, method=method)
