"""Every mistake that a mapping file can show by itself is refused, with its line, its key and a sentence that helps.

`test_mapping` has those of the common language; here are the rest, part by part. The first line of each is line 1.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.catalog import Catalog
from adapters.errors import MappingInvalid
from adapters.mapping import load_mapping
from adapters.signatures import SCHEME_NAMES
from tests.mapping_examples import completed

HMAC = "verify: {scheme: hmac, signed: [raw_body], signature: {header: x}"
BOUNCE = "types: {b: {type: email.bounced, fields: {bounce: {class: %s}}}}"
FIELDS = "fields: {recipient: to, timestamp: at, %s}"

FILE = [
    ("provider: Acme Mail", "provider", "lower-case letters, digits and _"),
    ("provider: 7up", "provider", "beginning with a letter"),
    ("provider: ''", "provider", "a text is needed"),
    ("title: [a]", "title", "a text is needed"),
    ("documentation: []", "documentation", "the list is empty"),
    ("busy_status: five", "busy_status", "a whole number is needed"),
    ("busy_status: 700", "busy_status", "from 400 to 599"),
    ("api_key: yes", "api_key", "true or false is needed"),
    ("methods: []", "methods", "the list is empty"),
    ("decode: [json, yaml]", "decode[1]", "known are auto, form, json, json_lines, query, text"),
    ("options: {x: text}", "options.x", "keys with values are needed"),
    ("options: {x: {type: text}}", "options.x", "needs `type` and `meaning`"),
    ("options: {x: {type: list, meaning: y}}", "options.x.type", "known are flag, number, text, texts"),
    ("tables: {t: [a]}", "tables.t", "keys with values are needed"),
    ("tables: {t: {a: b}, t: {a: c}}", "tables.t", "given twice"),
    ("tables: {t: {Bounce: b, bounce: c}}", "tables.t.bounce", "the case of a table's keys does not count"),
    ("tables: {t: {5..1: b}}", "tables.t.5..1", "from the lower number to the higher"),
    ("tables: {t: {/(?=a)/: b}}", "tables.t./(?=a)/", "bad pattern: invalid perl operator"),
    ("tables: {t: {'/a{1,1000}{1,1000}/': b}}", "tables.t./a{1,1000}{1,1000}/", "bad pattern"),
    ("tables: {t: {a: b}}", "tables.t", "nothing asks this table: read it by {table: t, of: …}, or remove it"),
    ("variants: {}", "variants", "at least one variant"),
    ("variants: {a: {when: x, decode: json, native_type: y}}", "variants.a.decode", "unknown key 'decode'"),
    ("variants: {a: {when: x}}", "variants.a", "the key 'native_type' is missing"),
    ("variants: {a: {native_type: y}, b: {native_type: y}}", "variants.b", "the variant before it has no `when`"),
    ("variants: {a: {when: x, native_type: y}, b: {when: x, native_type: y}}", "variants.b", "has the same `when`: x"),
    ("variants: {a: {when: '`[]`', native_type: y}}", "variants.a.when", "nothing comes to this variant"),
    ("handshake: {when: \"'x' == 'y'\"}", "handshake.when", "nothing comes to this handshake"),
    ("handshake: {method: PUT}", "handshake.method", "known are GET, HEAD, OPTIONS, POST"),
    ("handshake: {method: GET, status: 99}", "handshake.status", "from 200 to 599"),
    ("handshake: {method: GET, bdy: x}", "handshake.bdy", "did you mean 'body'?"),
    ("ignore: {when: '`false`', because: x}", "ignore.when", "nothing comes to this reason to ignore"),
    ("ignore: {when: '`true`', because: x}", "ignore.when", "nothing comes to `types`"),
    ("ignore: text", "ignore", "keys with values are needed"),
    ("ignore: {when: x, because: ''}", "ignore.because", "a text is needed"),
    ("unused: {a: b}", "unused", "a text is needed"),
    ("samples: {events: {sent: {}}, batch: true}", "samples.batch", "did you mean 'batches'?"),
    ("samples: {events: {sent: {}}, body: xml}", "samples.body", "known are form, json, text"),
    ("samples: {events: [{}]}", "samples.events", "keys with values are needed"),
    (
        "samples: {events: {sent/a: {}, opened/a: {}}}",
        "samples.events.opened/a",
        "'opened', which `types` does not name",
    ),
]

TYPES = [
    ("types: {}", "types", "at least one native type"),
    ("types: {sent: }", "types.sent", "a text is needed"),
    ("types: {sent: webhook.test}", "types.sent", "'webhook.test' is not known here"),
    ("types: {sent: bounce}", "types.sent", "did you mean 'email.bounced'?"),
    ("types: {sent: email.sent, sent: email.open}", "types.sent", "given twice"),
    ("types: {sent: {type: email.sent, feilds: {}}}", "types.sent.feilds", "did you mean 'fields'?"),
    ("types: {a*: ignored, ab*: ignored}", "types.ab*", "'a*' before it stands for these types too"),
    ("types: {'*': ignored, ab*: ignored}", "types.ab*", "'*' before it"),
    ("types: {a: [{when: x, type: ignored}, ignored, ignored]}", "types.a[2]", "never reached"),
    ("types: {a: [{when: x, type: ignored}, {when: x, type: email.open}]}", "types.a[1]", "has the same `when`: x"),
]

ALWAYS = ["`true`", "`1`", "`0`", "'x'", "`false` || 'x'", "x || `true`", "!`null`", "'a' == 'a'", "[a, b]", "{a: a}"]
NEVER = [
    "`false`",
    "`null`",
    "''",
    "`[]`",
    "x && `false`",
    "`null` || ''",
    "!'x'",
    "'a' == 'b'",
    "!x == 'a'",
    "`1` > `2`",
]
HIDDEN = [("x", "x && y"), ("x || y", "y"), ("x || y", "y && z || x"), ("a && b", "b && a"), ("a=='1'", "(a == '1')")]
APART = [
    ("x && y", "x"),
    ("x", "y"),
    ("x || y", "x || z"),
    ("a[0:1]", "a[0:2]"),
    ("a == '1'", "a == `1`"),
    ("a.b", "a.c"),
]

VALUES = [
    (FIELDS % "stream: []", "fields.stream", "the list is empty"),
    (FIELDS % "stream: {}", "fields.stream", "one of const, table, rest, merge, object"),
    (FIELDS % "stream: true", "fields.stream", "the constant is {const: true}"),
    (FIELDS % "stream: {table: t}", "fields.stream", "a table needs `of`"),
    (FIELDS % "stream: {table: t, of: x}", "fields.stream.table", "known are none"),
    (FIELDS % "metadata: {rest: [a], off: x}", "fields.metadata.off", "did you mean 'of'?"),
    (FIELDS % "metadata: {object: [a]}", "fields.metadata.object", "keys with values are needed"),
    (FIELDS % "click: url", "fields.click", "keys with values are needed"),
    (FIELDS % "client: {machine: true}", "fields.client.machine", "the constant is {const: true}"),
    (FIELDS % "open: {first: {const: perhaps}}", "fields.open.first.const", "this field cannot be 'perhaps'"),
    (FIELDS % "bounce: {class: x, smtp_code: {const: 5.1.1}}", "fields.bounce.smtp_code.const", "cannot be '5.1.1'"),
    (BOUNCE % "hard", "types.b.fields.bounce.class", "the word itself is {const: hard}"),
    (BOUNCE % "{const: hrad}", "types.b.fields.bounce.class.const", "none of hard, soft, block, suppressed, unknown"),
]

TIMES = [
    ("fields: {recipient: to, timestamp: []}", "fields.timestamp", "the list is empty"),
    ("fields: {recipient: to, timestamp: {tme: at}}", "fields.timestamp.tme", "did you mean 'time'?"),
    ("fields: {recipient: to, timestamp: {const: 1}}", "fields.timestamp.const", "unknown key 'const'"),
    (
        "fields: {recipient: to, timestamp: {time: at, unit: min}}",
        "fields.timestamp.unit",
        "known are auto, ms, ns, s, us",
    ),
    (
        "fields: {recipient: to, timestamp: {time: at, unit: s, format: rfc2822}}",
        "fields.timestamp.unit",
        "a time with `format` is no number",
    ),
    ("fields: {recipient: to, timestamp: {time: at, zone: '+25'}}", "fields.timestamp.zone", ""),
    (
        "fields: {recipient: to, timestamp: {time: at, format: '%Q'}}",
        "fields.timestamp.format",
        "no time can be read with",
    ),
    (
        "fields: {recipient: to, timestamp: {time: at, format: '%'}}",
        "fields.timestamp.format",
        "no time can be read with",
    ),
    ("fields: {recipient: to, timestamp: {or_received: maybe}}", "fields.timestamp.or_received", "true or false"),
]

EXPRESSIONS = [
    ("recognize: a ||", "recognize", "ends too early, at character 5 of: a ||"),
    ("native_type: lowr(a)", "native_type", "is lower() meant?"),
    ("native_type: lower()", "native_type", "lower(text) wants 1 arguments, not 0"),
    ("native_type: lower(a, b)", "native_type", "wants 1 arguments, not 2"),
    ("native_type: sort_by(a, b)", "native_type", "must be an expression after &"),
    ("native_type: '&a'", "native_type", "& belongs in front of an argument"),
    ("native_type: regex(a, b)", "native_type", "must be a literal text"),
    ("native_type: regex(a, '(')", "native_type", "bad pattern in regex(): missing )"),
    ("native_type: regex(a, '(?<=x)y')", "native_type", "bad pattern in regex()"),
    ("native_type: regex(a, '(x)\\1')", "native_type", "bad pattern in regex()"),
    ("native_type: a[::0]", "native_type", "the step of a slice cannot be 0"),
    ("native_type: a..b", "native_type", "at character 3"),
    ("native_type: a = b", "native_type", "at character 3"),
    ("native_type: null", "native_type", "would be a key of the native event"),
    ("native_type: a" + ".a" * 3000, "native_type", "longer than 4096 characters"),
    ("native_type: '" + "!" * 40 + "a'", "native_type", "nested deeper than 32 levels"),
    ("dedup: [id, lowr(x)]", "dedup[1]", "no function lowr()"),
    ("each: [a, 'b[']", "each[1]", "ends too early"),
    ("ignore: {when: a &&, because: x}", "ignore.when", "ends too early"),
]

PROOFS = [
    ("verify: hmac", "verify", "must be keys and values"),
    ("verify: {signed: [raw_body]}", "verify", "the key 'scheme' is missing"),
    ("verify: {scheme: md5}", "verify.scheme", f"must be one of {', '.join(SCHEME_NAMES)}"),
    (HMAC.replace("[raw_body]", "raw_body") + "}", "verify.signed", "must be a list"),
    (HMAC.replace("[raw_body]", "[]") + "}", "verify.signed", "the list is empty"),
    (HMAC.replace("raw_body", "{heder: x}") + "}", "verify.signed[0]", "must say where: header, path, query"),
    (HMAC.replace("{header: x}", "{}") + "}", "verify.signature", "must say where"),
    (HMAC.replace("{header: x}", "{header: x, encoding: hax}") + "}", "verify.signature.encoding", "hex, base64"),
    (HMAC.replace("{header: x}", "{header: x, case: any}") + "}", "verify.signature.case", "for hex only"),
    (HMAC + ", algorithm: sha3}", "verify.algorithm", "must be one of sha256, sha1, sha512, md5"),
    (HMAC + ", key: pem}", "verify.key", "must be one of text, base64, hex"),
    (HMAC + ", secret: password}", "verify.secret", "must be one of signing_secret, public_key, basic_auth, token"),
    (HMAC + ", construction: digest}", "verify.signed", "must include the secret"),
    (HMAC + ", tolerance: 5}", "verify.tolerance", "is not a key that is known here"),
    (HMAC + ", timestamp: {header: t}}", "verify.timestamp", "the key 'past_s' is missing"),
    (HMAC + ", timestamp: {header: t, tolerance_s: 5 min}}", "verify.timestamp.tolerance_s", "seconds, or unlimited"),
    (HMAC + ", timestamp: {header: t, tolerance_s: -5}}", "verify.timestamp.tolerance_s", "a number of seconds"),
    (HMAC + ", timestamp: {header: t, tolerance_s: 5, unit: min}}", "verify.timestamp.unit", "must be one of s, ms"),
    (HMAC + ", once: {}}", "verify.once", "must say where"),
    (HMAC + ", setup: {secret: x}}", "verify.setup", "the key 'path' is missing"),
    (HMAC.replace("hmac", "rsa") + ", algorithm: md5}", "verify.algorithm", "must be one of sha256, sha1"),
    (HMAC.replace("hmac", "ecdsa").replace("raw_body", "secret") + "}", "verify.signed", "cannot include a secret"),
    ("verify: {scheme: basic, user: x}", "verify.user", "is not a key that is known here"),
    ("verify: {scheme: token}", "verify", "must say where"),
    ("verify: {scheme: any_of, schemes: []}", "verify.schemes", "the list is empty"),
    (
        "verify: {scheme: any_of, schemes: [{scheme: basic}, {scheme: token, header: x}]}",
        "verify.schemes",
        "same secret",
    ),
    ("verify: [{scheme: basic}, {scheme: basic}]", "verify", "each has another secret"),
    ("verify: {scheme: sns}", "verify", "the key 'certificates' is missing"),
    ("verify: {scheme: sns, certificates: ['https://x/a.pem'], confirmation_hosts: [x]}", "verify", "needs the option"),
    (
        "verify: {scheme: sns, certificates: ['http://x/a.pem'], confirmation_hosts: [x]}",
        "verify.certificates",
        "https://",
    ),
]


@pytest.mark.parametrize(("written", "key", "message"), [*FILE, *TYPES, *VALUES, *TIMES, *EXPRESSIONS, *PROOFS])
def test_a_mistake_is_refused_at_its_place(written: str, key: str, message: str) -> None:
    with pytest.raises(MappingInvalid) as refusal:
        load_mapping(completed(f"{written}\n"), "acme.yaml")
    assert (refusal.value.file, refusal.value.line, refusal.value.key) == ("acme.yaml", 1, key)
    assert message in refusal.value.message


def with_rules(*whens: str) -> str:
    rules = "".join(f"    - {{type: email.sent, when: {json.dumps(when)}}}\n" for when in whens)
    return f"types:\n  sent:\n{rules}"


@pytest.mark.parametrize("when", ALWAYS)
def test_a_condition_that_is_always_true_can_only_stand_last(when: str) -> None:
    with pytest.raises(MappingInvalid, match="always true, so that nothing comes to the rules after it") as refusal:
        load_mapping(completed(with_rules("kind", when, "other")), "acme.yaml")
    assert (refusal.value.line, refusal.value.key) == (4, "types.sent[1].when")
    load_mapping(completed(with_rules("kind", when)), "acme.yaml")


@pytest.mark.parametrize("when", NEVER)
def test_a_condition_that_is_never_true_is_refused(when: str) -> None:
    with pytest.raises(MappingInvalid, match="never true, so that nothing comes to this rule") as refusal:
        load_mapping(completed(with_rules("kind", when)), "acme.yaml")
    assert (refusal.value.line, refusal.value.key) == (4, "types.sent[1].when")


@pytest.mark.parametrize(("wider", "hidden"), HIDDEN)
def test_a_rule_whose_events_all_fit_an_earlier_one_is_refused(wider: str, hidden: str) -> None:
    with pytest.raises(
        MappingInvalid, match=r"never reached: a rule before it has (the same|a wider) `when`: "
    ) as refusal:
        load_mapping(completed(with_rules("kind", wider, hidden)), "acme.yaml")
    assert (refusal.value.line, refusal.value.key) == (5, "types.sent[2]")


@pytest.mark.parametrize(("one", "other"), APART)
def test_rules_of_which_each_may_fit_are_taken(one: str, other: str) -> None:
    load_mapping(completed(with_rules(one, other)), "acme.yaml")


def test_a_type_has_no_more_rules_than_anybody_needs() -> None:
    with pytest.raises(MappingInvalid, match="more than 100 rules"):
        load_mapping(completed(with_rules(*[f"x == '{n}'" for n in range(101)])), "acme.yaml")


def test_a_chain_as_long_as_an_expression_may_be_is_no_trouble() -> None:
    chain = " || ".join(["a.b"] * 550)
    with pytest.raises(MappingInvalid, match="a wider"):
        load_mapping(completed(with_rules(chain, "a.b && c")), "acme.yaml")
    load_mapping(completed(with_rules("x" + ".x" * 2000, "y")), "acme.yaml")


def test_a_table_that_only_a_replaced_field_asks_is_refused() -> None:
    text = "fields: {recipient: to, timestamp: at, stream: {table: t, of: x}}\ntables: {t: {a: b}}\n"
    load_mapping(completed(text), "acme.yaml")
    with pytest.raises(MappingInvalid, match="nothing asks this table"):
        load_mapping(completed(text + "types: {s: {type: email.sent, fields: {stream: x}}}\n"), "acme.yaml")


def test_the_line_is_that_of_the_mistake_and_not_of_the_part() -> None:
    text = (
        "provider: acme\nverify:\n  scheme: hmac\n  signed:\n    - raw_body\n    - heder: x\n  signature: {header: x}\n"
    )
    with pytest.raises(MappingInvalid) as refusal:
        load_mapping(completed(text), "acme.yaml")
    assert str(refusal.value).startswith("acme.yaml:6: verify.signed[1]: ")


def test_a_table_that_has_a_word_which_the_field_cannot_take_is_refused() -> None:
    text = BOUNCE % "{table: t, of: x}" + "\ntables: {t: {a: hard, b: hrad}}\n"
    with pytest.raises(MappingInvalid, match="'hrad' is none of hard, soft") as refusal:
        load_mapping(completed(text), "acme.yaml")
    assert refusal.value.key == "types.b.fields.bounce.class.table"


@pytest.mark.parametrize("key", ["provider", "verify", "native_type", "types"])
def test_what_every_file_needs_is_named_when_it_is_missing(key: str) -> None:
    whole = completed("").splitlines(keepends=True)
    with pytest.raises(MappingInvalid, match=f"the key '{key}' is missing"):
        load_mapping("".join(line for line in whole if not line.startswith(key)), "acme.yaml")


@pytest.mark.parametrize(
    "text", ["a: b: c", "a: [", "a: {", "\ta: b", "a: 'b", "a: *b", "a: !!python/name:os.system x\n"]
)
def test_what_is_not_yaml_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(MappingInvalid) as refusal:
        load_mapping(f"title: x\n{text}", "acme.yaml")
    assert refusal.value.line in (2, 3)


def repeated(levels: int) -> str:
    """A list whose lists hold the same list eight times over, as often as there are levels."""
    written = "&a0 [x]"
    for level in range(1, levels):
        written = f"&a{level} [{written}{f', *a{level - 1}' * 7}]"
    return written


def chained(links: int) -> str:
    """Lists no deeper than 30 in the text, of which each holds the one before it at its bottom."""
    lists = [f"&b{link} {'[' * 30}{f'*b{link - 1}' if link else 'x'}{']' * 30}" for link in range(links)]
    return f"[{', '.join(lists)}]"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (repeated(12), "more than 20000 values, those counted that aliases repeat"),
        (chained(3), "nested more than 40 deep"),
        ("&a [*a]", "an anchor inside itself"),
        ("[" * 60 + "]" * 60, "nested more than 40 deep"),
        ("[" * 100_000, "nested more than 40 deep"),
        ("\n      " + "- " * 100_000, "nested more than 40 deep"),
        ("9" * 5_000, "no number of a size that can be read"),
        ("9" * 400 + ".5", "no number of a size that can be read"),
        ("!!int zero", "no number of a size that can be read: zero"),
    ],
)
def test_a_file_that_would_take_memory_or_time_without_end_is_refused(written: str, message: str) -> None:
    with pytest.raises(MappingInvalid, match=message) as refusal:
        load_mapping(completed(f"samples:\n  events:\n    sent: {written}\n"), "acme.yaml")
    assert refusal.value.line is not None


def files(folder: Path) -> Iterator[tuple[bytes, str]]:
    yield completed("provider: other\n").encode(), "must be called other.yaml"
    yield b"title: a\nprovider: \xff\xfe", "acme.yaml:2: not UTF-8: byte 0xff"
    yield b"", "the file is empty"


def test_a_file_of_the_users_folder_is_refused_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "acme.yaml"
    for content, message in files(tmp_path):
        path.write_bytes(content)
        with pytest.raises(MappingInvalid, match=message) as refusal:
            Catalog.load(tmp_path)
        assert refusal.value.file == str(path)


@pytest.mark.parametrize("name", ["acme.yaml", "acme.yml"])
def test_a_file_of_the_users_folder_may_have_either_ending(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(completed("provider: acme\n"))
    assert Catalog.load(tmp_path).get("acme").name == "acme"


def test_two_files_for_one_provider_are_refused(tmp_path: Path) -> None:
    for name in ("acme.yaml", "acme.yml"):
        (tmp_path / name).write_text(completed("provider: acme\n"))
    with pytest.raises(MappingInvalid, match=r"acme\.yml is beside it: a provider has one file"):
        Catalog.load(tmp_path)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MappingInvalid, match="is not a folder"):
        Catalog.load(tmp_path / "nowhere")
