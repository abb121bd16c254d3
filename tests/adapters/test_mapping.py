"""The mapping language: what it can say, and how it refuses what is wrong."""

from textwrap import dedent, indent
from typing import Any

import pytest

from adapters.adapter import Adapter, Answer
from adapters.errors import MappingInvalid
from adapters.mapping import load_mapping
from adapters.reader import MappedEvent, Reading
from tests.adapters.native_fixtures import RECEIVED_MS, native_request, read

HEAD = """\
provider: acme
verify: none
"""
BODY = """\
native_type: kind
fields:
  recipient: to
  timestamp: at
types:
  sent: email.sent
"""


def acme(text: str = BODY, head: str = HEAD) -> Adapter:
    return load_mapping(head + dedent(text), "acme.yaml")


def reading(adapter: Adapter, *items: Any) -> Reading:
    return read(adapter, list(items))


def mail(**fields: Any) -> dict[str, Any]:
    return {"kind": "sent", "to": "ann@example.net", "at": 1767225600, **fields}


def only(adapter: Adapter, body: Any) -> MappedEvent:
    found = read(adapter, body)
    assert found.quarantined == []
    (event,) = found.events
    return event


def with_fields(fields: str) -> Adapter:
    return acme(BODY.replace("  timestamp: at\n", "  timestamp: at\n" + indent(dedent(fields).strip() + "\n", "  ")))


class TestRefusals:
    """Each mistake names the file, the line and the key."""

    @pytest.mark.parametrize(
        ("text", "line", "key", "message"),
        [
            ("native_type: [", 4, "", ""),
            (BODY.replace("to\n", "[lower(to), join('', [a, b])]\n"), 5, "", "needs quotes around it"),
            (BODY + "native_type: kind\n", 9, "native_type", "given twice"),
            (BODY + "  sent: email.delivered\n", 9, "types.sent", "given twice"),
            (BODY.replace("native_type", "nativ_type"), 3, "nativ_type", "did you mean 'native_type'"),
            (BODY.replace("to\n", "to[\n"), 5, "fields.recipient", "at character"),
            (BODY.replace("kind", "lowr(kind)"), 3, "native_type", "lowr"),
            (BODY.replace("email.sent", "email.sen"), 8, "types.sent", "did you mean 'email.sent'"),
            (BODY.replace("recipient:", "recipent:"), 5, "fields.recipent", "did you mean 'recipient'"),
            (BODY.replace("recipient: to", "bonce: {class: x}"), 5, "fields.bonce", "did you mean 'bounce'"),
            (BODY.replace("recipient: to", "click: {link: x}"), 5, "fields.click.link", "known are url"),
            (BODY.replace("recipient: to", "bounce: {diagnostic: x}"), 5, "fields.bounce", "needs `class`"),
            (BODY.replace("to\n", "{constant: x}\n"), 5, "fields.recipient", "const"),
            (BODY.replace("to\n", "{const: x, of: y}\n"), 5, "fields.recipient.of", "unknown key"),
            (BODY.replace("to\n", "{table: t, of: x}\n"), 5, "fields.recipient.table", "not known"),
            (BODY + "tables: {t: {a: b}}\n" + "recipients: {x: y}\n", 10, "recipients", "a text is needed"),
            (BODY.replace(": at", ": {time: at, unit: hours}"), 6, "fields.timestamp.unit", "not known"),
            (BODY.replace(": at", ": {time: at, zone: Mars}"), 6, "fields.timestamp.zone", "no time zone"),
            (BODY.replace(": at", ": {unit: s}"), 6, "fields.timestamp", "needs `time`"),
            (
                BODY.replace("to\n", "{const: x}\n  attribution: {const: some}\n"),
                6,
                "fields.attribution.const",
                "none of exact",
            ),
            (BODY.replace(" email.sent", " [email.sent, email.open]"), 8, "types.sent[1]", "never reached"),
            (BODY.replace(" email.sent", " {when: x}"), 8, "types.sent", "needs `type`"),
            (BODY.replace("timestamp: at", "subject: at"), 8, "types.sent", "need `timestamp`"),
            (BODY.replace("recipient: to", "subject: to"), 8, "types.sent", "one of `recipient`"),
            (BODY.replace(" email.sent", " []"), 8, "types.sent", "at least one is needed"),
            (BODY + "samples: {events: {opened: {}}}\n", 9, "samples.events.opened", "does not name"),
            (BODY + "unknown: drop\n", 9, "unknown", "not known"),
            (BODY + "refused_status: 200\n", 9, "refused_status", "from 400 to 599"),
            (BODY + "api_key: perhaps\n", 9, "api_key", "true or false"),
            (BODY + "decode: xml\n", 9, "decode", "not known"),
            (BODY + "methods: [POTS]\n", 9, "methods[0]", "did you mean 'POST'"),
            (BODY + "handshake: [{status: 200}]\n", 9, "handshake[0]", "needs `method` or `when`"),
            (BODY + "ignore: [{when: x}]\n", 9, "ignore[0]", "because"),
            (BODY.replace("types:\n  sent: email.sent\n", ""), 1, "", "'types' is missing"),
        ],
    )
    def test_a_mistake_is_shown_where_it_stands(self, text: str, line: int, key: str, message: str) -> None:
        with pytest.raises(MappingInvalid) as refusal:
            acme(text)
        assert (refusal.value.file, refusal.value.line, refusal.value.key) == ("acme.yaml", line, key)
        assert message in refusal.value.message
        assert str(refusal.value).startswith(f"acme.yaml:{line}: {key}")

    def test_a_mapping_that_does_not_say_how_to_verify_is_refused(self) -> None:
        with pytest.raises(MappingInvalid, match="verify: none"):
            acme(head="provider: acme\n")

    @pytest.mark.parametrize(
        ("verify", "line", "key"),
        [
            ("{scheme: hmak}", 2, "verify.scheme"),
            ("{scheme: hmac}", 2, "verify"),
            (
                "\n  scheme: hmac\n  signed: [raw_body]\n  signature:\n    header: x\n    encoding: hax",
                7,
                "verify.signature.encoding",
            ),
            ("[{scheme: basic}, {scheme: basic}]", 2, "verify"),
            ("[]", 2, "verify"),
            ("nothing", 2, "verify"),
        ],
    )
    def test_a_wrong_scheme_is_shown_at_its_key(self, verify: str, line: int, key: str) -> None:
        with pytest.raises(MappingInvalid) as refusal:
            acme(head=f"provider: acme\nverify: {verify}\n")
        assert (refusal.value.line, refusal.value.key) == (line, key)

    def test_a_variant_behind_one_that_takes_everything_is_never_reached(self) -> None:
        with pytest.raises(MappingInvalid, match="never reached") as refusal:
            acme(BODY + "variants:\n  all: {}\n  some: {when: x}\n")
        assert refusal.value.line == 11

    @pytest.mark.parametrize("text", ["", "- a list", "text", "? [a]\n: b"])
    def test_what_is_no_mapping_at_all_is_refused(self, text: str) -> None:
        with pytest.raises(MappingInvalid):
            load_mapping(text, "acme.yaml")

    def test_an_anchor_inside_itself_is_refused(self) -> None:
        with pytest.raises(MappingInvalid, match="deep"):
            acme(BODY + "samples: {events: {sent: &a {again: *a}}}\n")

    @pytest.mark.parametrize("inherited", ["text", "[{a: 1}]", "&a {<<: *a}"])
    def test_what_cannot_be_brought_in_is_refused(self, inherited: str) -> None:
        with pytest.raises(MappingInvalid):
            acme(BODY + f"samples: {{events: {{sent: {{<<: {inherited}}}}}}}\n")

    def test_aliases_that_multiply_are_refused(self) -> None:
        levels = [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 9)]
        bomb = "\n".join(f"      {level}" for level in ["x0: &x0 [1]", *levels])
        with pytest.raises(MappingInvalid, match="more than"):
            acme(f"{BODY}samples:\n  events:\n    sent:\n{bomb}\n")

    def test_a_file_without_end_is_refused(self) -> None:
        with pytest.raises(MappingInvalid, match="longer"):
            acme(BODY + "#" * 300_000)


class TestFields:
    """What may stand for the value of a field."""

    def test_a_section_may_bring_in_the_keys_of_another(self) -> None:
        adapter = acme(BODY + "samples:\n  events:\n    sent: &a {to: x, n: 1}\n    sent/b: {<<: *a, n: 2}\n")
        assert adapter.samples == {"sent": {"to": "x", "n": 1}, "sent/b": {"to": "x", "n": 2}}

    def test_an_expression_a_constant_and_the_first_that_is_not_empty(self) -> None:
        adapter = with_fields("""\
            subject: upper(title)
            stream: {const: bulk}
            email_id: [id, other.id]
        """)
        event = only(adapter, mail(title="hi", id="", other={"id": 0}))
        assert (event.data.subject, event.data.provider.stream, event.data.email_id) == ("HI", "bulk", "0")

    def test_a_table_regards_no_case_and_has_a_default(self) -> None:
        fields = "bounce: {class: {table: classes, of: code}, category: {table: words, of: code}}"
        adapter = acme(
            BODY.replace("  timestamp", f"  {fields}\n  timestamp") + "tables:\n"
            "  classes: {10: hard, Full: soft, default: unknown}\n  words: {10: bad address}\n"
        )
        bounces = [only(adapter, mail(code=code)).data.bounce for code in (10, "10", "FULL", None, "x")]
        assert [(bounce.class_, bounce.category) for bounce in bounces] == [
            ("hard", "bad address"), ("hard", "bad address"), ("soft", None), ("unknown", None), ("unknown", None)
        ]  # fmt: skip

    def test_the_rest_of_the_item_or_of_a_part_is_metadata(self) -> None:
        assert only(with_fields("metadata: {rest: [kind, to, at]}"), mail(a=1, b=[2])).data.metadata == {
            "a": 1,
            "b": [2],
        }
        part = with_fields("metadata: {rest: [a], of: args}")
        assert only(part, mail(args={"a": 1, "b": 2})).data.metadata == {"b": 2}
        assert only(part, mail(args="text")).data.metadata == {}

    def test_objects_are_built_and_merged(self) -> None:
        adapter = with_fields("metadata: {merge: [a, {object: {x: b, gone: c}}, list]}")
        event = only(adapter, mail(a={"x": 1, "y": 2}, b=3, list=[{"z": 4}, {"y": 5}]))
        assert event.data.metadata == {"x": 3, "y": 5, "z": 4}

    @pytest.mark.parametrize(
        ("given", "kept"),
        [({"a": 1}, {"a": 1}), ('{"a": 1}', {"a": 1}), ("{no json", {"value": "{no json"}), ("text", {"value": "text"}),
         ([], {}), (None, {}), ("", {}), ([1], {"value": [1]})],
    )  # fmt: skip
    def test_metadata_is_an_object_whatever_was_given(self, given: object, kept: object) -> None:
        assert only(with_fields("metadata: given"), mail(given=given)).data.metadata == kept

    @pytest.mark.parametrize(
        ("given", "kept"),
        [("a", ["a"]), (["a", 1, None, "", True], ["a", "1", "true"]), (None, []), ("", []), ([], []), (7, ["7"])],
    )
    def test_tags_are_a_list_of_texts_whatever_was_given(self, given: object, kept: object) -> None:
        assert only(with_fields("tags: given"), mail(given=given)).data.tags == kept

    @pytest.mark.parametrize(
        ("given", "kept"),
        [("a", "a"), ("", None), (None, None), (9007199254740993, "9007199254740993"), (1.5, "1.5"), (False, "false"),
         ([], None), ({}, None), ({"a": 1}, '{"a":1}'), ("a\0b", "ab"), ("\0", None)],
    )  # fmt: skip
    def test_texts_are_texts_whatever_was_given(self, given: object, kept: object) -> None:
        assert only(with_fields("subject: given"), mail(given=given)).data.subject == kept

    @pytest.mark.parametrize(
        ("given", "kept"),
        [("ann@example.net", "ann@example.net"), ("Ann <ann@example.net>", "ann@example.net"),
         (["Ann <ann@example.net>", "b@c"], "ann@example.net"), ('"A, B" <ann@example.net>', "ann@example.net"),
         (" ann@example.net ", "ann@example.net")],
    )  # fmt: skip
    def test_the_recipient_is_a_bare_address(self, given: object, kept: str) -> None:
        assert only(acme(), mail(to=given)).data.recipient == kept

    @pytest.mark.parametrize("given", ["<a@b>", "a@b", " <a@b> "])
    def test_message_ids_lose_their_brackets(self, given: str) -> None:
        assert only(with_fields("message_id: given"), mail(given=given)).data.message_id == "a@b"

    @pytest.mark.parametrize(
        ("code", "status", "text", "found"),
        [(550, "5.1.1", "no", (550, "5.1.1")), ("550", "5.1.1 (bad)", "no", (550, "5.1.1")),
         (605, "", "no", (None, None)), (None, None, "552 5.2.2 full", (552, "5.2.2")),
         (999, "x", "452 4.2.2 full", (452, "4.2.2")), (None, None, None, (None, None))],
    )  # fmt: skip
    def test_reply_codes_are_taken_from_the_text_where_they_are_not_given(
        self, code: object, status: object, text: object, found: object
    ) -> None:
        adapter = with_fields("bounce: {class: {const: hard}, smtp_code: c, enhanced_code: s, diagnostic: t}")
        bounce = only(adapter, mail(c=code, s=status, t=text)).data.bounce
        assert (bounce.smtp_code, bounce.enhanced_code) == found

    @pytest.mark.parametrize(
        ("class_", "permanent"), [("hard", True), ("suppressed", True), ("soft", False), ("block", False)]
    )
    def test_a_bounce_is_permanent_by_its_class_unless_the_mapping_says_so(self, class_: str, permanent: bool) -> None:
        adapter = with_fields("bounce: {class: c, permanent: p}")
        assert only(adapter, mail(c=class_)).data.bounce.permanent is permanent
        assert only(adapter, mail(c=class_, p=not permanent)).data.bounce.permanent is not permanent

    def test_a_block_without_any_value_is_left_out(self) -> None:
        event = only(with_fields("client: {ip: ip, machine: m}"), mail())
        assert not event.data.client
        assert only(with_fields("client: {ip: ip, machine: m}"), mail(m=False)).data.client.machine is False


class TestTimes:
    """Native times become milliseconds."""

    @pytest.mark.parametrize(
        ("spec", "given", "milliseconds"),
        [
            ("at", 1767225600, 1767225600000),
            ("at", "1767225600", 1767225600000),
            ("at", 1767225600.25, 1767225600250),
            ("at", "1767225600.25", 1767225600250),
            ("at", 1767225600123, 1767225600123),
            ("at", 1767225600123456, 1767225600123),
            ("{time: at, unit: ms}", 1767225600123, 1767225600123),
            ("{time: at, unit: us}", "1767225600123456", 1767225600123),
            ("at", "2026-01-01T00:00:00Z", 1767225600000),
            ("at", "2026-01-01T00:00:00.1234567Z", 1767225600123),
            ("at", "2026-01-01T00:00:00.123456789+01:00", 1767222000123),
            ("at", "2026-01-01 00:00:00.5+00", 1767225600500),
            ("at", "2026-01-01 00:00:00 +0200", 1767218400000),
            ("at", "2026-01-01 00:00:00 UTC", 1767225600000),
            ("{time: at, zone: UTC}", "2026-01-01 00:00:00", 1767225600000),
            ("{time: at, zone: '+02:00'}", "2026-01-01T00:00:00", 1767218400000),
            ("{time: at, zone: Europe/Paris}", "2026-01-01T00:00:00", 1767222000000),
            ("{time: at, zone: UTC, format: '%m/%d/%Y %I:%M:%S %p'}", "1/1/2026 12:00:00 AM", 1767225600000),
            ("{time: at, format: rfc2822}", "Thu, 01 Jan 2026 01:00:00 +0100", 1767225600000),
            ("[{time: none}, at]", 1767225600, 1767225600000),
            ("[to, at]", 1767225600, 1767225600000),
            ("[at, {or_received: true}]", "yesterday", RECEIVED_MS),
            ("{time: none, or_received: true}", 1, RECEIVED_MS),
        ],
    )
    def test_a_time_is_read(self, spec: str, given: object, milliseconds: int) -> None:
        assert only(acme(BODY.replace(": at", f": {spec}")), mail(at=given)).timestamp_ms == milliseconds

    @pytest.mark.parametrize(
        "given",
        [
            "yesterday",
            "2026-01-01T00:00:00",
            "",
            None,
            True,
            {},
            [],
            -1,
            0,
            1e300,
            "9" * 400,
            "२०२६",
            "2026-13-01T00:00:00Z",
        ],
        ids=lambda given: repr(given)[:20],
    )
    def test_what_is_no_time_is_quarantined(self, given: object) -> None:
        found = reading(acme(), mail(at=given))
        assert found.events == []
        assert found.quarantined[0].reason.startswith("timestamp: ")

    def test_the_unit_that_the_mapping_gives_is_kept_to(self) -> None:
        adapter = acme(BODY.replace(": at", ": {time: at, unit: s}"))
        assert "outside of 1970 to 9999" in reading(adapter, mail(at=1767225600123)).quarantined[0].reason


class TestRules:
    """From native types to unified ones."""

    def test_the_first_rule_that_fits_gives_type_and_fields(self) -> None:
        adapter = acme("""\
            native_type: kind
            fields: {recipient: to, timestamp: at, subject: title}
            types:
              bounce:
                - {when: "class == 'soft'", type: email.deferred, fields: {deferral: {diagnostic: text}}}
                - {when: "class == 'test'", type: ignored}
                - {type: email.bounced, fields: {subject: {const: over}, bounce: {class: {const: hard}}}}
        """)
        found = reading(
            adapter, *[mail(kind="bounce", title="t", text="x", **{"class": c}) for c in ("soft", "test", "")]
        )
        assert [(event.type, event.data.subject) for event in found.events] == [
            ("email.deferred", "t"), ("email.bounced", "over")
        ]  # fmt: skip
        assert found.ignored == 1

    def test_an_item_that_no_rule_fits_is_quarantined(self) -> None:
        found = reading(acme(BODY.replace(" email.sent", " {when: x, type: email.sent}")), mail(), mail(x=1))
        assert len(found.events) == 1
        assert found.quarantined[0].reason == "none of the rules for the native type 'sent' fits the item"

    def test_a_native_type_may_be_named_by_its_beginning(self) -> None:
        adapter = acme(BODY + "  list_*: ignored\n  list_left: email.unsubscribe\n")
        found = reading(adapter, mail(kind="list_new"), mail(kind="list_left"), mail(kind="lists"))
        assert (found.ignored, [event.type for event in found.events]) == (1, ["email.unsubscribe"])
        assert [item.native_type for item in found.quarantined] == ["lists"]

    def test_unnamed_types_are_quarantined_unless_the_mapping_emits_them(self) -> None:
        found = reading(acme(), mail(kind="new"))
        assert [(item.index, item.native_type) for item in found.quarantined] == [(0, "new")]
        event = only(acme(BODY + "unknown: emit\n"), mail(kind="new"))
        assert (event.type, event.data.provider.event_type) == ("email.unknown", "new")

    def test_items_may_be_ignored_before_their_type_is_looked_at(self) -> None:
        adapter = acme(BODY + "ignore: [{when: ping, because: sent when the webhook is made}]\n")
        assert reading(adapter, {"ping": True}, mail()).ignored == 1

    @pytest.mark.parametrize("item", ["text", 7, None, [], {}, {"kind": None}, {"kind": ""}, {"kind": "sent"}])
    def test_an_odd_item_is_quarantined_and_spares_its_neighbours(self, item: object) -> None:
        found = reading(acme(), mail(), item, mail())
        assert len(found.events) == 2
        assert [quarantined.index for quarantined in found.quarantined] == [1]
        assert found.quarantined[0].reason

    def test_an_expression_that_fails_quarantines_its_item_alone(self) -> None:
        found = reading(with_fields("subject: length(title)"), mail(title="abc"), mail(title=7))
        assert [event.data.subject for event in found.events] == ["3"]
        assert "length()" in found.quarantined[0].reason


class TestBatches:
    """Where the items of a request are."""

    def test_items_are_found_in_steps_and_know_their_parents(self) -> None:
        adapter = acme("each: [users, events]\n" + BODY.replace("to\n", "parent().address\n"))
        users = [{"address": "a@x", "events": [mail(), mail()]}, {"address": "b@x", "events": mail()}]
        found = read(adapter, {"users": users})
        assert [(event.data.recipient, event.index) for event in found.events] == [("a@x", 0), ("a@x", 1), ("b@x", 2)]

    def test_a_body_without_items_where_they_should_be_is_quarantined_as_a_whole(self) -> None:
        adapter = acme("each: events\n" + BODY)
        assert read(adapter, {"events": []}).quarantined == []
        assert [item.index for item in read(adapter, {}).quarantined] == [None]

    def test_a_part_without_items_is_quarantined_and_spares_its_neighbours(self) -> None:
        found = read(acme("each: [users, events]\n" + BODY), {"users": [{"events": [mail()]}, {}, {"events": []}]})
        assert len(found.events) == 1
        assert [item.index for item in found.quarantined] == [1]

    def test_one_item_becomes_an_event_for_each_of_its_recipients(self) -> None:
        adapter = acme(BODY.replace("to\n", "[recipient().email, to]\n") + "recipients: bounced\ndedup: [kind]\n")
        found = reading(adapter, mail(bounced=[{"email": "a@x"}, {"email": "b@x"}]), mail(bounced=[]))
        assert [(event.data.recipient, event.index) for event in found.events] == [
            ("a@x", 0), ("b@x", 0), ("ann@example.net", 1)
        ]  # fmt: skip
        assert len({event.dedup_key for event in found.events}) == 3

    def test_variants_read_bodies_of_different_shape_and_share_what_stands_at_the_top(self) -> None:
        adapter = acme("""\
            fields: {timestamp: at}
            types: {sent: email.sent}
            variants:
              new: {when: data, each: data, native_type: kind, fields: {recipient: to}}
              old: {when: event, native_type: event, fields: {recipient: rcpt}, types: {opened: email.open}}
        """)
        assert only(adapter, {"data": mail()}).data.recipient == "ann@example.net"
        assert only(adapter, {"event": "opened", "rcpt": "b@x", "at": 1767225600}).type == "email.open"
        assert only(adapter, {"event": "sent", "rcpt": "b@x", "at": 1767225600}).type == "email.sent"
        assert [item.index for item in read(adapter, {}).quarantined] == [None]

    def test_too_many_items_are_quarantined_as_a_whole(self) -> None:
        found = read(acme(), [{}] * 10_001)
        assert [item.index for item in found.quarantined] == [None]


class TestDedup:
    """What makes two events the same."""

    def test_the_whole_item_counts_unless_the_mapping_names_parts(self) -> None:
        one, same, other = reading(acme(), mail(a=1, b=2), mail(b=2, a=1), mail(a=1, b=3)).events
        assert one.dedup_key == same.dedup_key != other.dedup_key

    def test_the_parts_named_count_with_their_places(self) -> None:
        adapter = acme(BODY + "dedup: [a, b]\n")
        keys = [
            only(adapter, mail(**parts)).dedup_key
            for parts in ({"a": "x"}, {"b": "x"}, {"a": "x", "c": 1}, {"a": "x", "b": ""})
        ]
        assert len(set(keys)) == 3
        assert keys[0] == keys[2]

    def test_items_without_any_of_the_parts_are_told_apart_as_a_whole(self) -> None:
        adapter = acme(BODY + "dedup: [id]\n")
        assert only(adapter, mail(n=1)).dedup_key != only(adapter, mail(n=2)).dedup_key


class TestHandshakes:
    """Requests that carry no events."""

    HANDSHAKES = """\
handshake:
  - {method: HEAD}
  - method: OPTIONS
    headers: {WebHook-Allowed-Origin: header('webhook-request-origin')}
  - when: type == 'validation'
    body: {object: {validationResponse: code}}
  - when: type == 'confirmation' && starts_with(url, 'https://acme.example/')
    status: 202
    body: "'thanks'"
    confirm: url
"""

    def answer(self, method: str, body: Any = "", headers: dict[str, str] | None = None) -> Answer | None:
        request = native_request(body, headers)
        request.method = method
        return acme(BODY + self.HANDSHAKES).handshake(request)

    def test_a_bare_try_is_answered_with_nothing_but_the_status(self) -> None:
        assert self.answer("HEAD") == Answer(200, {}, b"", None)

    def test_headers_and_bodies_are_taken_from_the_request(self) -> None:
        allowed = self.answer("OPTIONS", headers={"webhook-request-origin": "events.example"})
        assert allowed == Answer(200, {"WebHook-Allowed-Origin": "events.example"}, b"", None)
        validated = self.answer("POST", {"type": "validation", "code": "123"})
        assert validated == Answer(200, {}, b'{"validationResponse":"123"}', None)

    def test_a_consent_is_a_url_to_fetch(self) -> None:
        body = {"type": "confirmation", "url": "https://acme.example/yes"}
        assert self.answer("POST", body) == Answer(202, {}, b"thanks", "https://acme.example/yes")
        assert self.answer("POST", {**body, "url": "https://evil.example/"}) is None

    def test_a_header_cannot_break_out_of_its_line(self) -> None:
        assert self.answer("OPTIONS", headers={"webhook-request-origin": "a\r\nb: c"}) == Answer(200, {}, b"", None)

    @pytest.mark.parametrize("body", [mail(), [], "{broken", {"type": "confirmation", "url": 7}], ids=str)
    def test_other_requests_are_no_handshakes(self, body: object) -> None:
        assert self.answer("POST", body) is None
        assert self.answer("GET", body) is None

    def test_events_come_by_post_unless_the_mapping_says_otherwise(self) -> None:
        assert list(acme().methods) == ["POST"]
        assert list(acme(BODY + "methods: [GET, POST]\n").methods) == ["GET", "POST"]


class TestAdapter:
    """What a loaded mapping knows about its provider."""

    def test_the_usual_answers_hold_unless_the_mapping_has_others(self) -> None:
        assert (acme().refused_status, acme().busy_status) == (401, 503)
        other = acme(BODY + "refused_status: 406\nbusy_status: 429\n")
        assert (other.refused_status, other.busy_status) == (406, 429)

    def test_a_mapping_without_verification_needs_no_secret(self) -> None:
        adapter = acme()
        assert not adapter.signs
        assert adapter.check_secrets({}) == []
        assert adapter.read(native_request(mail()), {}, None, RECEIVED_MS).events

    def test_secrets_of_unknown_name_or_form_are_refused(self) -> None:
        wrong = acme().check_secrets({"signing_secret": ["x"], "basic_auth": ["no colon"]})
        assert wrong == [
            ("signing_secret", "unknown secret; known are basic_auth"),
            ("basic_auth", "it must be user:password"),
        ]

    def test_bodies_may_come_in_one_of_several_forms(self) -> None:
        adapter = acme(BODY + "decode: [json, form]\n")
        assert only(adapter, mail()).type == "email.sent"
        assert only(adapter, "kind=sent&to=ann%40example.net&at=1767225600").type == "email.sent"

    def test_samples_are_filled_in_and_enclosed(self) -> None:
        adapter = acme("each: events\n" + BODY + dedent("""\
            samples:
              envelope: {events: $items, sent_at: $iso}
              batches: true
              headers: {X-Acme: $item}
              events:
                sent: {kind: sent, to: $recipient, at: $unix, id: "no $unique"}
                sent/late: {kind: sent, to: $recipient, at: $unix_ms}
        """))  # fmt: skip
        request = adapter.sample_request(
            ["sent", "sent/late"], signing={}, url="https://x/", at=1767225600.5, recipient="ann@example.net",
            unique=iter("abc").__next__,
        )  # fmt: skip
        assert adapter.decode(request) == {
            "events": [
                {"kind": "sent", "to": "ann@example.net", "at": 1767225600, "id": "no a"},
                {"kind": "sent", "to": "ann@example.net", "at": 1767225600500},
            ],
            "sent_at": "2026-01-01T00:00:00.500Z",
        }
        assert len(adapter.read(request, None, None, RECEIVED_MS).events) == 2

    def test_a_sample_that_does_not_exist_is_named_with_those_that_do(self) -> None:
        adapter = acme(BODY + "samples: {events: {sent: {}}}\n")
        with pytest.raises(ValueError, match="'opened'; there are sent"):
            adapter.sample_request(["opened"], signing={}, url="", at=0, recipient="", unique=str)


@pytest.mark.parametrize(
    ("code", "stream"),
    [
        (400, "range"),
        ("499.0", "range"),
        (499.5, "other"),
        ("-3", "low"),
        ("Full Mailbox", "pattern"),
        ("fuller", "word"),
        (None, "other"),
        (True, "other"),
        ([450], "other"),
        ("4" * 400, "other"),
        ("٤٥٠", "other"),
    ],
)
def test_a_table_is_asked_by_word_then_by_pattern_and_range(code: Any, stream: str) -> None:
    tables = "tables:\n  t: {..-1: low, 400..499: range, /^full/: pattern, fuller: word, default: other}\n"
    adapter = acme(BODY.replace("  timestamp", "  stream: {table: t, of: code}\n  timestamp") + tables)
    assert only(adapter, mail(code=code)).data.provider.stream == stream


def test_a_pattern_of_a_table_is_not_matched_against_a_text_without_end() -> None:
    tables = 'tables: {t: {"/(a|aa){1,200}b/": x}}\n'
    adapter = acme(BODY.replace("  timestamp", "  stream: {table: t, of: code}\n  timestamp") + tables)
    found = reading(adapter, mail(code="a" * 1_000_000), mail(code="aab"))
    assert [item.reason for item in found.quarantined] == ["the evaluation takes more than 1000000 steps"]
    assert [event.data.provider.stream for event in found.events] == ["x"]


def test_a_provider_may_be_answered_in_its_own_words_when_it_posts_events() -> None:
    said = read(acme(BODY + "handshake: {method: POST, status: 202, body: {const: OK}}\n"), mail())
    assert said.answer == Answer(status=202, headers={}, body=b"OK", confirm=None)
    assert len(said.events) == 1
