"""Rotating a secret through the API, with receivers that know the old one, the new one, or another."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
import svix
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.clock import Clock
from app.gateway import Gateway
from app.signer import generate_secret
from tests.conftest import PostgresServer
from tests.gateways import opened, settings_for
from tests.servers import Received, Sink
from tests.servers import sink as serve
from tests.web.gateways import ADMIN_KEY, Api, add_endpoint, fields_of, gateway_of, serving

pytestmark = pytest.mark.anyio
MANAGE = "/api/webhooks/manage"


class HastyClock(Clock):
    """The real time and what it was put forward by, because the libraries compare with their own clock."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def ms(self) -> int:
        return super().ms() + self.ahead_ms


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with serve() as sink:
        yield sink


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    postgres.empty()
    return postgres.url(postgres.MIGRATED)


async def rotate(api: Api, endpoint: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    answer = await api.post(f"{MANAGE}/{endpoint['id']}/rotate-secret", json=wanted)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def sent_test(api: Api, endpoint: dict[str, Any], sink: Sink) -> Received:
    """What the endpoint gets for a test event."""
    before = len(sink.requests)
    assert (await api.post(f"{MANAGE}/{endpoint['id']}/test")).status_code == 202
    return (await sink.arrived(before + 1))[-1]


def verifies(secret: str, request: Received) -> bool:
    """Whether both libraries, which must agree, take the request for authentic."""
    return verified_by(standardwebhooks, secret, request) & verified_by(svix, secret, request)


def verified_by(library: Any, secret: str, request: Received) -> bool:
    try:
        library.Webhook(secret).verify(request.body, request.headers)
    except library.WebhookVerificationError:
        return False
    return True


def is_plainly_signed(secret: str, request: Received) -> bool:
    expected = hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, request.headers["x-webhook-signature"])


async def test_old_and_new_secret_both_verify_until_the_overlap_ends(api: Api, sink: Sink) -> None:
    endpoint = await add_endpoint(api, url=sink.url)
    rotated = await rotate(api, endpoint)
    request = await sent_test(api, endpoint, sink)
    assert rotated["secret"] != endpoint["secret"]
    assert request.headers["webhook-signature"].count("v1,") == 2
    assert verifies(endpoint["secret"], request)
    assert verifies(rotated["secret"], request)
    assert not verifies(generate_secret(), request)
    assert is_plainly_signed(rotated["secret"], request)


async def test_the_new_secret_is_shown_once_and_the_end_of_the_old_one_ever_after(api: Api) -> None:
    endpoint = await add_endpoint(api)
    assert endpoint["old_secrets"] == []
    rotated = await rotate(api, endpoint, overlap_s=3600)
    shown = (await api.get(f"{MANAGE}/{endpoint['id']}")).json()
    assert "secret" not in shown
    assert (
        shown["old_secrets"]
        == rotated["old_secrets"]
        == [{"ends_at": rotated["old_secrets"][0]["ends_at"], "public_key": None}]
    )
    assert shown["updated_at"] < rotated["old_secrets"][0]["ends_at"]
    assert endpoint["secret"] not in (await api.get(MANAGE)).text


async def test_an_overlap_of_nothing_replaces_every_secret_at_once(api: Api, sink: Sink) -> None:
    endpoint = await add_endpoint(api, url=sink.url)
    second = await rotate(api, endpoint)
    third = await rotate(api, endpoint, overlap_s=0)
    assert third["old_secrets"] == []
    request = await sent_test(api, endpoint, sink)
    assert verifies(third["secret"], request)
    assert not verifies(endpoint["secret"], request)
    assert not verifies(second["secret"], request)


async def test_at_most_four_secrets_sign_at_once(api: Api, sink: Sink) -> None:
    endpoint = await add_endpoint(api, url=sink.url)
    secrets = [endpoint["secret"], *[(await rotate(api, endpoint))["secret"] for _ in range(4)]]
    request = await sent_test(api, endpoint, sink)
    assert [verifies(secret, request) for secret in secrets] == [False, True, True, True, True]


async def test_a_shorter_overlap_shortens_the_one_before(api: Api) -> None:
    endpoint = await add_endpoint(api)
    await rotate(api, endpoint, overlap_s=86_400)
    second, first = (await rotate(api, endpoint, overlap_s=60))["old_secrets"]
    assert second == first
    longer = (await rotate(api, endpoint, overlap_s=3600))["old_secrets"]
    assert longer[1:] == [second, first]
    assert longer[0]["ends_at"] > second["ends_at"]


async def test_a_given_secret_is_taken_and_echoed(api: Api, sink: Sink) -> None:
    endpoint = await add_endpoint(api, url=sink.url)
    rotated = await rotate(api, endpoint, secret="a secret of our own")
    assert rotated["secret"] == "a secret of our own"
    assert is_plainly_signed("a secret of our own", await sent_test(api, endpoint, sink))


@pytest.mark.parametrize(
    ("wanted", "field", "advice"),
    [
        ({"secret": "short"}, "secret", "characters"),
        ({"overlap_s": -1}, "overlap_s", "at least 0"),
        ({"overlap_s": 2_592_001}, "overlap_s", "at most 2592000"),
        ({"overlap": 5}, "overlap", 'did you mean "overlap_s"?'),
    ],
)
async def test_a_wrong_rotation_is_refused(small_api: Api, wanted: dict[str, Any], field: str, advice: str) -> None:
    endpoint = await add_endpoint(small_api)
    refused = await small_api.post(f"{MANAGE}/{endpoint['id']}/rotate-secret", json=wanted)
    assert refused.status_code == 422
    assert fields_of(refused) == [field]
    assert advice in refused.text.replace("\\", "")
    assert (await small_api.post(f"{MANAGE}/7/rotate-secret")).status_code == 404


async def test_a_secret_that_signs_already_is_no_new_one(api: Api) -> None:
    endpoint = await add_endpoint(api)
    refused = await api.post(f"{MANAGE}/{endpoint['id']}/rotate-secret", json={"secret": endpoint["secret"]})
    assert refused.status_code == 409
    assert endpoint["secret"] not in refused.text


async def test_a_change_of_the_secret_ends_the_overlap(api: Api) -> None:
    endpoint = await add_endpoint(api)
    await rotate(api, endpoint)
    changed = await api.patch(f"{MANAGE}/{endpoint['id']}", json={"secret": "a secret of our own"})
    assert changed.json()["old_secrets"] == []


async def test_a_new_key_pair_signs_beside_the_old_one(api: Api, sink: Sink) -> None:
    endpoint = await add_endpoint(api, url=sink.url, signature="ed25519")
    rotated = await rotate(api, endpoint)
    assert "secret" not in rotated
    shown = (await api.get(f"{MANAGE}/{endpoint['id']}")).json()
    assert shown["public_key"] == rotated["public_key"] != endpoint["public_key"]
    assert [old["public_key"] for old in shown["old_secrets"]] == [endpoint["public_key"]]
    request = await sent_test(api, endpoint, sink)
    assert is_signed_by(endpoint["public_key"], request)
    assert is_signed_by(rotated["public_key"], request)
    refused = await api.post(f"{MANAGE}/{endpoint['id']}/rotate-secret", json={"secret": "a secret of our own"})
    assert fields_of(refused) == ["secret"]


def is_signed_by(public_key: str, request: Received) -> bool:
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    for signature in request.headers["webhook-signature"].split(" "):
        try:
            key.verify(base64.b64decode(signature.removeprefix("v1a,")), signed)
        except InvalidSignature:
            continue
        return True
    return False


async def test_on_every_node_an_old_secret_ends_by_itself(postgres_url: str, tmp_path: Path, sink: Sink) -> None:
    """Two nodes that know of the rotation before it ends, and nothing is changed or started anew after it."""
    clock = HastyClock()
    settings = settings_for(postgres_url, tmp_path / "other", api_key=ADMIN_KEY, secret_key="a key of both nodes")
    async with (
        serving(postgres_url, tmp_path, secret_key="a key of both nodes") as api,
        opened(settings, clock) as other,
    ):
        endpoint = await add_endpoint(api, url=sink.url)
        await rotate(api, endpoint, overlap_s=3600)
        await other.registry.reload()
        assert signs_with(other, endpoint) == signs_with(gateway_of(api), endpoint) == 2
        clock.ahead_ms = 3_601_000
        assert signs_with(other, endpoint) == 1
        assert signs_with(gateway_of(api), endpoint) == 2


def signs_with(node: Gateway, endpoint: dict[str, Any]) -> int:
    """With how many secrets the node signs now."""
    known = node.registry.endpoint(endpoint["id"])
    assert known is not None
    now = node.clock.ms() // 1000
    signed = known.signer.headers(webhook_id="evt_1", event_type="email.open", body=b"{}", attempt=1, unix_s=now)
    return len(signed["webhook-signature"].split(" "))
