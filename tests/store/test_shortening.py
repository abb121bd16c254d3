"""The headers of attempts come back letter by letter, their times to a hundredth of a millisecond."""

import json
from datetime import UTC, datetime

import msgspec
import pytest

from app.outcome import Timing
from app.signer import Signer, generate_key_pair, generate_secret
from app.store.ids import BATCH, EVENT, public_id
from app.store.shortening import TIMES, long_headers, long_times, short_headers, short_times

NOW_S = round(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def signed(signer: Signer, prefix: str = EVENT, **others: str) -> bytes:
    headers = signer.headers(
        webhook_id=public_id(prefix, 3_764_958_326_121_564_164),
        event_type="email.delivered",
        body=b"{}",
        attempt=1,
        unix_s=NOW_S,
    )
    return msgspec.json.encode({**others, **headers})


ONE, TWO = Signer([generate_secret()]), Signer([generate_secret(), generate_secret()])


@pytest.mark.parametrize(
    "sent",
    [
        signed(ONE),
        signed(ONE, BATCH),
        signed(ONE, Authorization="(hidden)"),
        signed(TWO),
        signed(Signer([generate_key_pair()[0]], "ed25519")),
        signed(ONE)[:-2] + b'A"}',
        signed(ONE).replace(b'-timestamp":"1', b'-timestamp":"0'),
        b"{}",
    ],
)
def test_headers_come_back_letter_by_letter(sent: bytes) -> None:
    assert long_headers(short_headers(sent)) == sent


@pytest.mark.parametrize("prefix", [EVENT, BATCH])
def test_of_signed_headers_little_is_kept_but_the_signatures(prefix: str) -> None:
    assert len(short_headers(signed(ONE, prefix))) < 120


def test_headers_and_times_of_versions_before_are_read_as_they_are() -> None:
    assert long_headers(signed(ONE)) == signed(ONE)
    assert long_times(b'{"total_ms":7.559819998277817}') == b'{"total_ms":7.559819998277817}'


def test_times_are_those_of_an_attempt() -> None:
    assert tuple(Timing.__struct_fields__) == TIMES
    timing = Timing(None, 0.004, 12.3456, 1_234_567.891, 0.0, 99_999_999.0)
    kept = short_times(msgspec.structs.astuple(timing))
    assert len(kept) < 24
    assert json.loads(long_times(kept)) == {
        "dns_ms": None,
        "connect_ms": 0.0,
        "tls_ms": 12.35,
        "wait_ms": 1_234_567.89,
        "read_ms": 0.0,
        "total_ms": 99_999_999.0,
    }
