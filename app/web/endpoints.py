"""The subscribers' registrations: `/api/webhooks/manage`."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Router, delete, get, patch, post
from litestar.params import FromPath
from msgspec import UNSET, Meta, UnsetType

from app.gateway import Gateway
from app.signer import generate_key_pair, generate_secret, public_key_of
from app.store import endpoints, recovery
from app.store.endpoints import NewEndpoint
from app.store.ids import EVENT, public_id
from app.vault import VaultError
from app.web import resending
from app.web.context import ApiRequest, gateway_of, known_number, principal_of
from app.web.endpoint_shapes import (
    Endpoint,
    EndpointChange,
    EndpointInput,
    EndpointList,
    EndpointNew,
    check_endpoint,
)
from app.web.event_words import kept_words
from app.web.input import read_body
from app.web.paging import Moment
from app.web.problems import Problem, invalid, not_found


class Recover(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be sent again."""

    since: Moment
    until: Moment | UnsetType = UNSET
    status: Annotated[
        Literal["failed", "missing"],
        Meta(description="failed: every attempt failed; missing: there never was a delivery."),
    ] = "failed"


class Recovered(msgspec.Struct):
    """How many deliveries are due now, and whether that was all."""

    deliveries: int
    complete: bool


class TestSent(msgspec.Struct):
    """The test event, which is on its way."""

    event_id: str


@get("/", operation_id="listEndpoints")
async def list_endpoints(request: ApiRequest) -> EndpointList:
    """List the endpoints."""
    gateway = gateway_of(request)
    rows = await endpoints.list_endpoints(gateway.engine, principal_of(request).environment_id)
    return EndpointList([await _shown(request, row) for row in rows])


@post("/", operation_id="createEndpoint", opt={"body": EndpointNew})
async def create_endpoint(request: ApiRequest) -> Endpoint:
    """Register an endpoint. Its secret, given or generated, is in this answer alone."""
    gateway, wanted = gateway_of(request), await read_body(request, EndpointNew)
    await _check(gateway, wanted)
    secret = _new_secret(wanted, "hmac")
    made = await endpoints.create_endpoint(
        gateway.engine,
        gateway.vault,
        principal_of(request).environment_id,
        NewEndpoint(**_given(wanted), secrets=[secret]),
        gateway.clock.now(),
    )
    await gateway.registry.reload()
    return await _shown(request, made, secret, wanted.headers)


@get("/{endpoint_id:int}", operation_id="getEndpoint")
async def get_endpoint(request: ApiRequest, endpoint_id: FromPath[int]) -> Endpoint:
    """Show one endpoint."""
    return await _shown(request, await _found(request, endpoint_id))


@patch("/{endpoint_id:int}", operation_id="changeEndpoint", opt={"body": EndpointChange})
async def change_endpoint(request: ApiRequest, endpoint_id: FromPath[int]) -> Endpoint:
    """Change an endpoint.

    Absent fields stay as they are, null takes an optional one away; a new secret replaces the old one at once.
    """
    gateway, wanted = gateway_of(request), await read_body(request, EndpointChange)
    present = await _found(request, endpoint_id)
    if wanted.secret is not UNSET and wanted.signature is UNSET and present.signature == "ed25519":
        wanted.signature = "ed25519"
    await _check(gateway, wanted)
    changes = _given(wanted)
    secret = None
    if wanted.secret is not UNSET or wanted.signature not in (UNSET, present.signature):
        secret = _new_secret(wanted, present.signature)
        changes["secrets"] = [secret]
    changed = await endpoints.change_endpoint(
        gateway.engine,
        gateway.vault,
        principal_of(request).environment_id,
        present.id,
        endpoints.EndpointChange(**changes),
        gateway.clock.now(),
        gateway.registry.reload,
    )
    gateway.sender.bell.ring()
    return await _shown(request, _still_there(changed, endpoint_id), secret, wanted.headers)


@delete("/{endpoint_id:int}", operation_id="deleteEndpoint")
async def delete_endpoint(request: ApiRequest, endpoint_id: FromPath[int]) -> None:
    """Take an endpoint away; what it is still owed is cancelled, what it got stays in the log."""
    gateway = gateway_of(request)
    number = known_number(endpoint_id, "endpoint")
    environment_id = principal_of(request).environment_id
    now, make_known = gateway.clock.now(), gateway.registry.reload
    if not await endpoints.delete_endpoint(gateway.engine, gateway.vault, environment_id, number, now, make_known):
        raise not_found("endpoint", endpoint_id)


@post("/{endpoint_id:int}/enable", operation_id="enableEndpoint", status_code=200)
async def enable_endpoint(request: ApiRequest, endpoint_id: FromPath[int]) -> Endpoint:
    """Send to the endpoint again; what was held for it is due now."""
    gateway = gateway_of(request)
    number = known_number(endpoint_id, "endpoint")
    environment_id = principal_of(request).environment_id
    now, make_known = gateway.clock.now(), gateway.registry.reload
    enabled = await endpoints.enable_endpoint(gateway.engine, environment_id, number, now, make_known)
    gateway.sender.bell.ring()
    return await _shown(request, _still_there(enabled, endpoint_id))


@post("/{endpoint_id:int}/test", operation_id="testEndpoint", status_code=202, opt={"fails": [409]})
async def test_endpoint(request: ApiRequest, endpoint_id: FromPath[int]) -> TestSent:
    """Send the endpoint a webhook.test event; GET /api/events/{event_id} tells how it went."""
    gateway = gateway_of(request)
    present = await _found(request, endpoint_id)
    _check_active(present)
    event = await gateway.ingest.send_test(principal_of(request).environment_id, present.id)
    return TestSent(public_id(EVENT, event))


@post("/{endpoint_id:int}/recover", operation_id="recoverEndpoint", status_code=202, opt={"body": Recover})
async def recover_endpoint(request: ApiRequest, endpoint_id: FromPath[int]) -> Recovered:
    """Send again what failed, or what the endpoint asks for and never got; while not complete, ask again."""
    gateway, wanted = gateway_of(request), await read_body(request, Recover)
    present = await _found(request, endpoint_id)
    _check_active(present)
    environment_id, now = principal_of(request).environment_id, gateway.clock.now()
    stretch = (environment_id, present.id, wanted.since, wanted.until or now)
    if wanted.status == "missing":
        return Recovered(*await resending.recover_missing(gateway, *stretch))
    recovered = await recovery.recover_failed(gateway.engine, *stretch, now)
    gateway.sender.bell.ring()
    return Recovered(recovered, complete=True)


ENDPOINTS = Router(
    "/webhooks/manage",
    route_handlers=[
        list_endpoints,
        create_endpoint,
        get_endpoint,
        change_endpoint,
        delete_endpoint,
        enable_endpoint,
        test_endpoint,
        recover_endpoint,
    ],
    tags=["Endpoints"],
)


async def _check(gateway: Gateway, wanted: EndpointInput) -> None:
    if errors := await check_endpoint(wanted, gateway.guard):
        raise invalid(errors)
    if wanted.events is not UNSET:
        wanted.events = kept_words(wanted.events)


def _given(wanted: EndpointInput) -> dict[str, Any]:
    """The fields that are there, as the store takes them."""
    given = {name: value for name, value in msgspec.structs.asdict(wanted).items() if value is not UNSET}
    given.pop("secret", None)
    return given


def _new_secret(wanted: EndpointInput, signature: str) -> str:
    """The secret that was given, or a new one of the endpoint's kind."""
    kind = signature if wanted.signature is UNSET else wanted.signature
    if kind == "ed25519":
        return generate_key_pair()[0]
    return generate_secret() if wanted.secret is UNSET else wanted.secret


async def _found(request: ApiRequest, endpoint_id: int) -> endpoints.Endpoint:
    number = known_number(endpoint_id, "endpoint")
    found = await endpoints.get_endpoint(gateway_of(request).engine, principal_of(request).environment_id, number)
    return _still_there(found, endpoint_id)


def _still_there(found: endpoints.Endpoint | None, endpoint_id: int) -> endpoints.Endpoint:
    if found is None:
        raise not_found("endpoint", endpoint_id)
    return found


def _check_active(endpoint: endpoints.Endpoint) -> None:
    if not endpoint.active:
        raise Problem(409, f"Endpoint {endpoint.id} is not active ({endpoint.disabled_reason}); enable it first.")


async def _shown(
    request: ApiRequest,
    endpoint: endpoints.Endpoint,
    secret: str | None = None,
    headers: dict[str, str] | UnsetType = UNSET,
) -> Endpoint:
    """The answer, with the secret and the headers that were just set.

    A private key is not shown even when it was just made, because only the gateway signs with it.
    """
    public_key = await _public_key(request, endpoint) if endpoint.signature == "ed25519" else None
    fields = msgspec.structs.asdict(endpoint)
    if headers is not UNSET:
        fields["headers"] = headers
    return Endpoint(
        **fields,
        public_key=public_key,
        secret=secret if secret and public_key is None else UNSET,
    )


async def _public_key(request: ApiRequest, endpoint: endpoints.Endpoint) -> str | None:
    gateway = gateway_of(request)
    environment_id = principal_of(request).environment_id
    try:
        secrets = await endpoints.endpoint_secrets(gateway.engine, gateway.vault, environment_id, endpoint.id)
    except VaultError:  # the registry has told the operator
        return None
    return public_key_of(secrets[0]) if secrets else None
