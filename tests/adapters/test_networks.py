"""Verification by the networks that requests come from: listed, chosen by a source, alone, and beside secrets."""

from typing import Any

import pytest

from adapters.adapter import Adapter
from adapters.errors import MappingInvalid, VerificationFailed
from adapters.mapping import load_mapping
from adapters.request import NativeRequest
from tests.adapters.native_fixtures import CATALOG

REST = "provider: acme\nnative_type: event\nfields: {timestamp: at, recipient: to}\ntypes: {sent: email.sent}\n"
LISTED = '{scheme: networks, published: [192.0.2.0/24, "2001:db8::/32"]}'
OPTION = "options: {networks: {type: texts, meaning: Where from.}}\n"
TOKEN = "{scheme: token, header: x-token}"
BASIC = {"basic_auth": ["user:password"]}
T0KEN = {"token": ["t0ken"]}
INSIDE = ("192.0.2.1", "::ffff:192.0.2.1", "2001:db8::7")
OUTSIDE = ("", "192.0.3.1", "::ffff:192.0.3.1", "2001:db9::7", "unknown", "192.0.2.1, 192.0.3.1", "192.0.2.1:443")


def acme(*schemes: str, option: bool = False, more: str = "") -> Adapter:
    text = "".join(f"  - {scheme}\n" for scheme in schemes)
    return load_mapping(f"verify:\n{text}{OPTION if option else ''}{REST}{more}", "acme.yaml")


def verify(adapter: Adapter, client: str, secrets: Any = None, options: Any = None, **headers: str) -> None:
    request = NativeRequest(
        headers={name.replace("_", "-"): text for name, text in headers.items()}, body=b"{}", client=client
    )
    adapter.verify(request, secrets or {}, None, options=options or {})


def refused(adapter: Adapter, client: str, match: str = ".", **given: Any) -> None:
    with pytest.raises(VerificationFailed, match=match):
        verify(adapter, client, **given)


# The list of the mapping.


@pytest.mark.parametrize("client", INSIDE)
def test_a_request_from_a_listed_network_verifies(client: str) -> None:
    verify(acme(LISTED), client)


@pytest.mark.parametrize("client", OUTSIDE)
def test_a_request_from_elsewhere_is_refused(client: str) -> None:
    refused(acme(LISTED), client, "none of the networks" if client else "not known")


def test_a_list_alone_is_a_verification_that_needs_no_secret() -> None:
    adapter = acme(LISTED)
    assert adapter.signs
    assert adapter.check_secrets({}) == []
    assert adapter.check_options({}, {}) == []
    assert adapter.generate_secrets() == ({}, {})


def test_a_secret_beside_a_list_stays_needed_and_both_must_be_met() -> None:
    adapter = acme(TOKEN, LISTED)
    assert adapter.check_secrets({}) == [("token", "is needed")]
    verify(adapter, INSIDE[0], T0KEN, x_token="t0ken")
    refused(adapter, OUTSIDE[1], "networks", secrets=T0KEN, x_token="t0ken")
    refused(adapter, INSIDE[0], "token", secrets=T0KEN)
    refused(adapter, INSIDE[0], "token")


def test_a_list_beside_several_secrets_does_not_stand_in_for_one() -> None:
    adapter = acme(TOKEN, "{scheme: basic}", LISTED)
    assert adapter.check_secrets({}) == [("token", "one of token, basic_auth is needed")]
    refused(adapter, INSIDE[0], "no secret")
    refused(acme(TOKEN, LISTED, more="api_key: true\n"), INSIDE[0], "no secret")


def test_credentials_may_be_required_in_addition() -> None:
    verify(acme(LISTED), INSIDE[0], BASIC, authorization="Basic dXNlcjpwYXNzd29yZA==")
    refused(acme(LISTED), INSIDE[0], "no basic credentials", secrets=BASIC)


# What a source chooses.


def test_without_the_option_nothing_changes_for_a_source() -> None:
    adapter = acme(TOKEN, LISTED, option=True)
    verify(adapter, OUTSIDE[1], T0KEN, x_token="t0ken")
    verify(adapter, "", T0KEN, x_token="t0ken")
    refused(adapter, INSIDE[0], "no secret to verify with: give it the option networks or token")


@pytest.mark.parametrize(
    ("networks", "inside", "outside"),
    [
        ("published", INSIDE, OUTSIDE),
        (["published"], INSIDE, OUTSIDE),
        ("198.51.100.0/24", ("198.51.100.9",), (*OUTSIDE, *INSIDE)),
        (["198.51.100.9", "2001:db9::/32"], ("::ffff:198.51.100.9", "2001:db9::7"), ("198.51.100.8", *INSIDE)),
        (["published", "198.51.100.0/24"], (*INSIDE, "198.51.100.9"), OUTSIDE),
    ],
    ids=str,
)
def test_the_option_names_the_published_networks_or_others_or_both(
    networks: Any, inside: tuple[str, ...], outside: tuple[str, ...]
) -> None:
    adapter, options = acme(TOKEN, LISTED, option=True), {"networks": networks}
    assert adapter.check_options(options, {}) == []
    for client in inside:
        verify(adapter, client, options=options)
    for client in outside:
        refused(adapter, client, options=options)


def test_the_option_alone_is_enough_and_beside_a_secret_both_must_be_met() -> None:
    adapter, options = acme(TOKEN, LISTED, option=True), {"networks": "published"}
    assert adapter.check_secrets({}) == [("token", "one of token is needed, or the option networks")]
    assert adapter.check_secrets({}, options) == []
    verify(adapter, INSIDE[0], T0KEN, options, x_token="t0ken")
    refused(adapter, INSIDE[0], "token", secrets=T0KEN, options=options)
    refused(adapter, OUTSIDE[1], "networks", secrets=T0KEN, options=options, x_token="t0ken")


def test_where_there_is_nothing_else_the_option_is_needed() -> None:
    adapter = acme(LISTED, option=True)
    assert adapter.check_options({}, {}) == [("networks", "is needed, unless the source has basic_auth")]
    assert adapter.check_options({}, BASIC) == []
    refused(adapter, INSIDE[0], "give it the option networks")


def test_a_mapping_may_leave_the_networks_to_its_sources() -> None:
    adapter = acme("{scheme: networks}", option=True)
    ((name, message),) = adapter.check_options({"networks": "published"}, {})
    assert (name, "lists no networks" in message) == ("networks", True)
    verify(adapter, "198.51.100.9", options={"networks": "198.51.100.0/24"})


@pytest.mark.parametrize(
    "networks",
    ["", [], "everywhere", "192.0.2.7/24", ["192.0.2.0/24", "192.0.2.0/40"], "0.0.0.0/0", ["::/0"], True, 7, None, {}],
    ids=str,
)
def test_an_option_that_is_none_is_refused_when_it_is_set_and_lets_nothing_in(networks: Any) -> None:
    adapter, options = acme(TOKEN, LISTED, option=True), {"networks": networks}
    assert [name for name, _ in adapter.check_options(options, T0KEN)] == ["networks"]
    refused(adapter, INSIDE[0], secrets=T0KEN, options=options, x_token="t0ken")


def test_an_address_beside_topics_does_not_stand_in_for_them() -> None:
    sns = "{scheme: sns, certificates: ['https://sns.*.x/*.pem'], confirmation_hosts: [sns.*.x]}"
    text = f"verify: [{sns}, {LISTED}]\n{OPTION[:-2]}, topic_arns: {{type: texts, meaning: Topics.}}}}\n{REST}"
    adapter = load_mapping(text, "acme.yaml")
    options = {"networks": "published"}
    assert [name for name, _ in adapter.check_options(options, {})] == ["topic_arns"]
    refused(adapter, INSIDE[0], "no secret", options=options)


# Either of several.


def test_inside_any_of_an_address_stands_in_for_the_secret() -> None:
    adapter = acme(f"{{scheme: any_of, schemes: [{LISTED}, {TOKEN}]}}")
    assert adapter.check_secrets({}) == [("token", "is needed")]
    verify(adapter, INSIDE[0], T0KEN)
    verify(adapter, OUTSIDE[1], T0KEN, x_token="t0ken")
    refused(adapter, OUTSIDE[1], "none of the networks.*; or the header", secrets=T0KEN)
    stored, signing = adapter.generate_secrets()
    assert stored == signing
    assert list(stored) == ["token"]


# Handshakes and samples.


@pytest.mark.parametrize(
    ("schemes", "option", "secrets", "proves"),
    [
        ((LISTED,), False, {}, False),
        ((LISTED, TOKEN), True, {}, False),
        ((LISTED, TOKEN), True, T0KEN, True),
        ((f"{{scheme: any_of, schemes: [{TOKEN}, {LISTED}]}}",), False, T0KEN, False),
        ((f"{{scheme: any_of, schemes: [{TOKEN}, {{scheme: token, query: t}}]}}",), False, T0KEN, True),
    ],
)
def test_an_address_proves_the_provider_and_not_its_customer(
    schemes: tuple[str, ...], option: bool, secrets: Any, proves: bool
) -> None:
    verification = acme(*schemes, option=option).verification
    assert verification.proves_sender({"networks": "published"}, secrets) is proves


def test_a_played_request_comes_from_a_listed_address() -> None:
    adapter = acme(TOKEN, LISTED, more="samples: {events: {sent: {event: sent, at: $unix}}}\n")
    request = adapter.sample_request(
        ["sent"], signing={"token": "t0ken"}, url="https://x/", at=1, recipient="a@b", unique=lambda: "u"
    )
    assert request.client == "192.0.2.0"
    adapter.verify(request, T0KEN, None)


# Mistakes in a mapping.


@pytest.mark.parametrize(
    ("scheme", "line", "key", "message"),
    [
        ("{scheme: networks}", 2, "verify[0]", "needs `published`, or the option"),
        ("{scheme: networks, published: 192.0.2.0/24}", 2, "verify[0].published", "must be a list"),
        ("{scheme: networks, published: []}", 2, "verify[0].published", "the list is empty"),
        ("{scheme: networks, published: [192.0.2.7/24]}", 2, "verify[0].published[0]", "is 192.0.2.0/24 meant?"),
        ("{scheme: networks, published: [192.0.2.1, x]}", 2, "verify[0].published[1]", "'x' is no network"),
        ("{scheme: networks, published: [192.0]}", 2, "verify[0].published[0]", "must be text"),
        ("{scheme: networks, published: [0.0.0.0/0]}", 2, "verify[0].published[0]", "prove nothing"),
        (
            "scheme: networks\n    published:\n      - 192.0.2.0/24\n      - bad",
            5,
            "verify[0].published[1]",
            "'bad' is",
        ),
        ("{scheme: networks, published: [192.0.2.1], secret: token}", 2, "verify[0].secret", "is not a key"),
        (f"{{scheme: any_of, schemes: [{TOKEN}, {{scheme: networks}}]}}", 2, "verify[0].schemes[1]", "'published' is"),
        (f"{{scheme: any_of, schemes: [{LISTED}]}}", 2, "verify[0].schemes", "one must use a secret"),
        (f"{LISTED}\n  - {LISTED}", 2, "verify", "needs one scheme"),
    ],
)
def test_a_mistake_is_refused_at_its_line_and_key(scheme: str, line: int, key: str, message: str) -> None:
    with pytest.raises(MappingInvalid) as refusal:
        acme(scheme)
    assert (refusal.value.file, refusal.value.line, refusal.value.key) == ("acme.yaml", line, key)
    assert message in refusal.value.message


@pytest.mark.parametrize("text", [f"verify: {TOKEN}\n{OPTION}", f"verify: {LISTED}\n{OPTION.replace('texts', 'text')}"])
def test_an_option_that_would_have_no_effect_is_refused(text: str) -> None:
    with pytest.raises(MappingInvalid, match="needs the scheme networks"):
        load_mapping(text + REST, "acme.yaml")


# Shipped.


@pytest.mark.parametrize(
    ("provider", "inside", "outside"),
    [
        ("postmark", ("3.134.147.250", "::ffff:50.31.156.77"), ("3.134.147.251", "127.0.0.1")),
        ("brevo", ("1.179.112.0", "1.179.127.255", "172.246.255.1"), ("1.179.128.0", "185.107.232.1")),
    ],
)
def test_published_addresses_count_only_for_sources_that_ask(
    provider: str, inside: tuple[str, ...], outside: tuple[str, ...]
) -> None:
    adapter, options = CATALOG.get(provider), {"networks": "published"}
    assert adapter.refused_status == 401
    assert adapter.check_secrets({}, options) == adapter.check_options(options, {}) == []
    assert adapter.check_secrets({}) != []
    for client in inside:
        verify(adapter, client, options=options)
    for client in outside:
        refused(adapter, client, options=options)
        verify(adapter, client, BASIC, authorization="Basic dXNlcjpwYXNzd29yZA==")
