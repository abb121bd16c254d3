"""Every scheme against every kind of damage: the answer is VerificationFailed, and nothing else."""

import base64
import contextlib
import functools
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.errors import VerificationFailed
from adapters.request import NativeRequest
from adapters.signatures import Scheme
from tests.adapters.declared_schemes import AT, SAMPLES, Sample, body_with, decoded, with_signature


def samples(applies: Callable[[Sample], Any] = bool) -> pytest.MarkDecorator:
    chosen = {name: sample for name, sample in SAMPLES.items() if applies(sample)}
    return pytest.mark.parametrize("sample", chosen.values(), ids=chosen)


def limits_age(sample: Sample) -> bool:
    limits = sample.declaration.get("timestamp", {})
    return "past_s" in limits or limits.get("tolerance_s", "unlimited") != "unlimited"


every_sample = samples()


@functools.cache
def key_pair(name: str) -> tuple[str, str]:
    return SAMPLES[name].scheme.generate()


def signed(sample: Sample) -> tuple[NativeRequest, str]:
    """The sample's request, signed, and the secret that a source would have."""
    stored, signing = key_pair(next(name for name, other in SAMPLES.items() if other is sample))
    request = sample.request()
    return sample.scheme.sign(request, decoded(request), signing, AT), stored


def refusal(
    scheme: Scheme, request: NativeRequest, secrets: list[str], *, at: float | None = AT, body: Any = ...
) -> str:
    """The sentence with which `scheme` refuses; it never shows a secret."""
    with pytest.raises(VerificationFailed) as caught:
        scheme.verify(request, decoded(request) if body is ... else body, secrets, at)
    assert type(caught.value) is VerificationFailed
    message = str(caught.value)
    assert not any(secret in message for secret in secrets if len(secret) > 3)
    return message


def replaced(request: NativeRequest, **changes: Any) -> NativeRequest:
    parts = {"url": request.url, "headers": request.headers, "body": request.body} | changes
    return NativeRequest(**parts)


@every_sample
def test_what_a_scheme_signs_it_verifies(sample: Sample) -> None:
    request, secret = signed(sample)
    token = sample.scheme.verify(request, decoded(request), [secret], AT)
    assert (token is not None) == ("once" in sample.declaration)


@every_sample
def test_any_of_several_secrets_may_match(sample: Sample) -> None:
    request, secret = signed(sample)
    other, _ = sample.scheme.generate()
    sample.scheme.verify(request, decoded(request), [other, secret], AT)
    sample.scheme.verify(request, decoded(request), ["", "not a key", secret], AT)


@every_sample
def test_another_key_is_refused(sample: Sample) -> None:
    request, _ = signed(sample)
    other, _ = sample.scheme.generate()
    refusal(sample.scheme, request, [other])


@every_sample
@pytest.mark.parametrize("secrets", [[], [""], ["", ""], ["not a key: é"], ["\udcff"], ["-----BEGIN PUBLIC KEY-----"]])
def test_without_a_usable_secret_everything_is_refused(sample: Sample, secrets: list[str]) -> None:
    refusal(sample.scheme, signed(sample)[0], secrets)


@samples(lambda sample: sample.covered)
def test_a_changed_body_is_refused(sample: Sample) -> None:
    request, secret = signed(sample)
    forged = request.body.replace(*sample.covered)
    assert forged != request.body
    refusal(sample.scheme, replaced(request, body=forged), [secret])


@samples(lambda sample: sample.timestamp_covered)
def test_a_changed_timestamp_is_refused(sample: Sample) -> None:
    request, secret = signed(sample)
    now, later = f"{AT:.0f}", f"{AT + 1:.0f}"
    headers = {name: text.replace(now, later) for name, text in request.headers.items()}
    changed = replaced(request, headers=headers, body=request.body.replace(now.encode(), later.encode()))
    assert (changed.headers, changed.body) != (request.headers, request.body)
    refusal(sample.scheme, changed, [secret])


@every_sample
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda text: text[:-1], id="truncated by one"),
        pytest.param(lambda text: text[:-4], id="truncated by four"),
        pytest.param(lambda text: text[:8], id="mostly missing"),
        pytest.param(lambda _: "", id="empty"),
        pytest.param(lambda _: " ", id="blank"),
        pytest.param(lambda text: "é" + text[1:], id="non-ASCII"),
        pytest.param(lambda text: "\u0661" * len(text), id="non-ASCII digits"),
        pytest.param(lambda text: "\udcff" + text[1:], id="lone surrogate"),
        pytest.param(lambda text: "\x00" + text, id="null character"),
        pytest.param(lambda text: "!" * len(text), id="in no alphabet"),
        pytest.param(lambda text: text.swapcase(), id="other case"),
        pytest.param(lambda text: ("B" if text[0] == "A" else "A") + text[1:], id="one character changed"),
        pytest.param(lambda text: text + "AAAA", id="longer"),
        pytest.param(lambda _: "A" * 100_000, id="huge"),
    ],
)
def test_a_damaged_signature_is_refused(sample: Sample, damage: Callable[[str], str]) -> None:
    request, secret = signed(sample)
    refusal(sample.scheme, with_signature(sample, request, damage), [secret])


@every_sample
def test_a_missing_header_is_refused(sample: Sample) -> None:
    request, secret = signed(sample)
    added = [name for name in request.headers if name != "content-type"]
    for name in added:
        without = {other: text for other, text in request.headers.items() if other != name}
        refusal(sample.scheme, replaced(request, headers=without), [secret])


@samples(lambda sample: sample.covered_header)
def test_a_changed_header_that_is_signed_is_refused(sample: Sample) -> None:
    request, secret = signed(sample)
    headers = request.headers | {sample.covered_header: request.headers[sample.covered_header] + "0"}
    refusal(sample.scheme, replaced(request, headers=headers), [secret])


@samples(limits_age)
def test_a_request_that_is_too_old_or_from_the_future_is_refused(sample: Sample) -> None:
    limits = sample.declaration["timestamp"]
    past_s, future_s = (limits.get(name, limits.get("tolerance_s")) for name in ("past_s", "future_s"))
    request, secret = signed(sample)
    for age_s in (past_s, -future_s):
        sample.scheme.verify(request, decoded(request), [secret], AT + age_s)
    assert "s old" in refusal(sample.scheme, request, [secret], at=AT + past_s + 1)
    assert "in the future" in refusal(sample.scheme, request, [secret], at=AT - future_s - 1)
    refusal(sample.scheme, request, [secret], at=math.nan)


def test_a_time_that_is_said_twice_must_be_the_same_and_may_be_said_once() -> None:
    declaration = SAMPLES["customer.io"].declaration
    repeated = {**declaration["timestamp"], "repeated": {"header": "X-Sent-At"}}
    sample = Sample({**declaration, "timestamp": repeated})
    request = sample.scheme.sign(sample.request(), None, "key", AT)
    assert request.headers["x-sent-at"] == f"{AT:.0f}"
    sample.scheme.verify(request, None, ["key"], AT)
    sample.scheme.verify(replaced(request, headers={**request.headers, "x-sent-at": ""}), None, ["key"], AT)
    for other in (f"{AT + 1:.0f}", f"{AT:.0f}.0", "soon"):
        later = replaced(request, headers={**request.headers, "x-sent-at": other})
        assert "two different times" in refusal(sample.scheme, later, ["key"], body=None)
        assert "two different times" in refusal(sample.scheme, later, ["key"], body=None, at=None)


@every_sample
def test_without_a_clock_the_age_is_not_checked(sample: Sample) -> None:
    request, secret = signed(sample)
    sample.scheme.verify(request, decoded(request), [secret], None)


@pytest.mark.parametrize("path", ["signature", "signature.signature", "signature.timestamp", "signature.token"])
@pytest.mark.parametrize("value", [None, True, [], ["x"], {}, {"x": "y"}, "", "é", 1, 1.5, 10**300, -1])
def test_a_value_of_another_kind_inside_the_body_is_refused(path: str, value: Any) -> None:
    sample = SAMPLES["mailgun"]
    request, secret = signed(sample)
    changed = replaced(request, body=body_with(request, path, lambda _: value))
    refusal(sample.scheme, changed, [secret])


@pytest.mark.parametrize("name", ["mailgun", "mailgun legacy", "mandrill", "unisender go", "dashamail"])
@pytest.mark.parametrize(
    "body", [None, [], "text", 3, {}, {"signature": None}, {"signature": ["x"]}, {"auth": 10**500}]
)
def test_a_body_of_another_shape_is_refused(name: str, body: Any) -> None:
    request, secret = signed(SAMPLES[name])
    refusal(SAMPLES[name].scheme, request, [secret], body=body)


@pytest.mark.parametrize(
    "timestamp", ["nan", "inf", "-1", "1e9", "9" * 30, "1_0", "\u0661\u0662", " 1", "", "yesterday", "0x10"]
)
def test_a_signed_timestamp_that_is_no_time_is_refused(timestamp: str) -> None:
    sample = Sample(
        {
            "scheme": "hmac",
            "signed": ["raw_body"],
            "signature": {"header": "x-signature"},
            "timestamp": {"header": "x-time", "tolerance_s": 300},
        }
    )
    request = sample.scheme.sign(sample.request(), None, "a secret", AT)
    refusal(sample.scheme, replaced(request, headers=request.headers | {"x-time": timestamp}), ["a secret"])


def test_more_signatures_than_any_provider_sends_are_refused() -> None:
    request, secret = signed(SAMPLES["svix"])
    flood = " ".join([request.headers["svix-signature"]] * 17)
    message = refusal(
        SAMPLES["svix"].scheme, replaced(request, headers=request.headers | {"svix-signature": flood}), [secret]
    )
    assert "more than 16" in message


@pytest.mark.parametrize("url", ["https://[bad/?token=x", "", "not a url", "https://hooks.example.com/\udcff?token=x"])
def test_a_url_that_cannot_be_read_is_refused(url: str) -> None:
    credentials = "Basic " + base64.b64encode(b"user:password").decode()
    for name in ("query token", "mandrill"):
        request, secret = signed(SAMPLES[name])
        changed = replaced(request, url=url, headers=request.headers | {"authorization": credentials})
        refusal(SAMPLES[name].scheme, changed, [secret])


any_text = st.text(st.characters(exclude_categories=()), max_size=60)
header_names = sorted({name for sample in SAMPLES.values() for name in signed(sample)[0].headers})
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["signature", "timestamp", "token", "auth", "secret", "token[]"]), inner)
    ),
    max_leaves=8,
)


@given(
    sample=st.sampled_from(list(SAMPLES.values())),
    headers=st.dictionaries(st.sampled_from(header_names), any_text),
    url=st.none() | any_text,
    raw=st.none() | st.binary(max_size=60),
    body=st.just(...) | json_values,
    secrets=st.none() | st.lists(any_text, max_size=3),
    at=st.none() | st.floats(),
)
@settings(max_examples=400, deadline=None)
def test_nothing_that_arrives_raises_anything_else(
    sample: Sample,
    headers: dict[str, str],
    url: str | None,
    raw: bytes | None,
    body: Any,
    secrets: list[str] | None,
    at: float | None,
) -> None:
    """Each example is a signed request of which some parts, drawn as None, are left as they are."""
    request, secret = signed(sample)
    request = replaced(
        request,
        headers=request.headers | headers,
        url=request.url if url is None else url,
        body=request.body if raw is None else raw,
    )
    body = decoded(request) if body is ... else body
    with contextlib.suppress(VerificationFailed):
        token = sample.scheme.verify(request, body, [secret] if secrets is None else secrets, at)
        assert isinstance(token, str | None)
