"""The page about the mapping language: its examples run, its tables are those of the loader, its schema is current."""

import json
import re
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from adapters.adapter import Adapter
from adapters.decoders import DECODERS
from adapters.errors import MappingInvalid
from adapters.events import BLOCKS
from adapters.expressions import FUNCTIONS
from adapters.mapping import FILE_KEYS, READER_KEYS, load_mapping
from adapters.mapping_file import parse
from adapters.request import NativeRequest
from adapters.samples import MEDIA_TYPES
from adapters.shapes import EVENT_SHAPES
from adapters.signatures import SCHEME_NAMES
from adapters.times import MILLIS_PER_UNIT
from tests import mapping_schema
from tests.mapping_examples import Example, assert_has, completed, examples, shown
from tests.test_docs import rows, section

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "mappings.md").read_text("utf-8")
EXAMPLES = examples(PAGE)
SHIPPED = sorted((ROOT / "mappings").glob("*.yaml"))
RECEIVED_MS = 1_767_226_000_000
SAMPLES = "samples: {events: {sent: {event: sent, to: $recipient, at: $unix}}}\n"

each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"line {example.line}")


def loaded(example: Example, more: str = "") -> Adapter:
    return load_mapping(completed(example.mapping + more), "acme.yaml")


@each_example
def test_an_example_is_a_mapping_that_its_own_samples_agree_with(example: Example) -> None:
    adapter = loaded(example)
    for name in adapter.samples:
        request = adapter.sample_request(
            [name], signing={}, url="https://x/", at=1, recipient="a@b", unique=lambda: "u"
        )
        assert adapter.read(request, None, None, RECEIVED_MS).events


@pytest.mark.parametrize(
    "example", [each for each in EXAMPLES if each.events is not None], ids=lambda each: f"line {each.line}"
)
def test_an_example_makes_of_a_body_what_the_page_shows(example: Example) -> None:
    request = NativeRequest(
        url="https://gateway.example.com/api/webhooks/ours?delivery=77",
        headers={"content-type": "application/json", "x-acme-event": "sent"},
        body=json.dumps(example.body).encode(),
    )
    reading = loaded(example).read(request, None, None, RECEIVED_MS)
    assert reading.quarantined == []
    assert_has([shown(event) for event in reading.events], example.events)


VERIFYING = [each for each in EXAMPLES if "verify:" in each.mapping and "none" not in each.mapping]


@pytest.mark.parametrize("example", VERIFYING, ids=lambda example: f"line {example.line}")
def test_a_declared_proof_can_be_made_and_is_accepted(example: Example) -> None:
    adapter = loaded(example, SAMPLES)
    if adapter.verification.by_topic:
        assert ("topic_arns", "is needed, unless the source has basic_auth (raw message delivery)") in (
            adapter.check_options({}, {})
        )
        return
    stored, signing = adapter.generate_secrets()
    request = adapter.sample_request(
        ["sent"], signing=signing, url="https://x/y", at=1767225600, recipient="a@b", unique=lambda: "u"
    )
    secrets = {name: [secret] for name, secret in stored.items()}
    assert adapter.read(request, secrets, 1767225600, RECEIVED_MS).events


def test_every_example_that_shows_a_body_shows_its_events() -> None:
    assert len([each for each in EXAMPLES if each.events is not None]) * 2 == PAGE.count("```json")


# Tables.


def table(heading: str) -> dict[str, str]:
    """First cells without backticks, with their second cells."""
    found = [row for row in rows(section("mappings.md", heading)) if row[0].startswith("`")]
    return {row[0].strip("`"): row[1] for row in found}


def test_every_key_of_a_file_is_explained_in_the_words_of_the_schema() -> None:
    assert table("The keys of a file") == mapping_schema.MEANINGS
    assert list(mapping_schema.MEANINGS) == list(FILE_KEYS)
    assert len(READER_KEYS) == 9, "the page says how many keys a variant may have"


def test_every_function_is_listed_with_what_it_gives() -> None:
    listed = {
        **table("JMESPath's own"),
        **table("Text"),
        **table("Values, lists, objects and the scope"),
        **table("Mail"),
    }
    assert sorted(f"{signature}: {meaning}" for signature, meaning in listed.items()) == sorted(FUNCTIONS.values())


def test_every_field_scheme_and_form_is_named() -> None:
    assert set(table("Fields of every event")) == {*EVENT_SHAPES, "timestamp"}
    assert set(table("Verification")) == set(SCHEME_NAMES)
    for word in (*BLOCKS, *DECODERS, *MEDIA_TYPES, *MILLIS_PER_UNIT):
        assert f"`{word}`" in PAGE, word


# Mistakes.


MISTAKES = [(written.strip("`"), message) for written, message in rows(section("mappings.md", "Mistakes"))[2:]]


@pytest.mark.parametrize(("written", "message"), MISTAKES)
def test_a_mistake_is_refused_with_the_message_on_the_page(written: str, message: str) -> None:
    with pytest.raises(MappingInvalid) as refusal:
        load_mapping(completed(f"{written}\n"), "acme.yaml")
    assert ": ".join(filter(None, (refusal.value.key, refusal.value.message))) == message


def test_the_example_of_a_refusal_is_real() -> None:
    text = (
        "provider: acme\nverify: none\nnative_type: event\nfields: {recipient: to, timestamp: at}\n\ntypes:\n  sent: "
    )
    with pytest.raises(MappingInvalid) as refusal:
        load_mapping(f"{text}email.sen\n", "acme.yaml")
    assert str(refusal.value) in PAGE


# The schema.


@pytest.fixture(scope="module")
def validator() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json.loads(mapping_schema.FILE.read_text("utf-8")))


def test_the_schema_is_that_of_the_loaders_tables() -> None:
    assert mapping_schema.FILE.read_text("utf-8") == mapping_schema.text(), "run python -m tests.mapping_schema"
    jsonschema_rs.meta.validate(mapping_schema.schema())
    assert set(mapping_schema.SCHEME_KEYS) == set(SCHEME_NAMES)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_mapping_fits_the_schema(path: Path, validator: jsonschema_rs.Draft202012Validator) -> None:
    validator.validate(parse(path.read_text("utf-8"), path.name).value())


@each_example
def test_every_example_fits_the_schema(example: Example, validator: jsonschema_rs.Draft202012Validator) -> None:
    validator.validate(parse(completed(example.mapping), "acme.yaml").value())


NOT_FOR_A_SCHEMA = re.compile(
    r"at character|never reached|nothing comes|nothing asks|no time zone|known are none|is none of"
    r"|must include|a sample of|bad pattern: |goes from the lower|events need|inside a network"
)
"""Mistakes inside expressions and between parts of a file."""


@pytest.mark.parametrize(("written", "message"), MISTAKES)
def test_the_schema_refuses_what_it_can_know(
    written: str, message: str, validator: jsonschema_rs.Draft202012Validator
) -> None:
    if not NOT_FOR_A_SCHEMA.search(message):
        assert not validator.is_valid(yaml.safe_load(completed(f"{written}\n")))
