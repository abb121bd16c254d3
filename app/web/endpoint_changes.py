"""What is done to endpoints on behalf of a caller, whether the API asks for it or a page of the dashboard does."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.bulk import PER_SECOND_DEFAULT
from app.gateway import Gateway
from app.store import endpoints
from app.store.endpoints import NewEndpoint
from app.store.ids import EVENT, public_id
from app.store.jobs import Order
from app.store.tables import RECOVER_FAILED, RECOVER_MISSING
from app.web.context import ApiRequest, gateway_of, known_number, principal_of
from app.web.endpoint_answers import check_active, found_endpoint, new_secret, shown_endpoint, still_there
from app.web.endpoint_shapes import (
    EnabledEndpoint,
    Endpoint,
    EndpointChange,
    EndpointInput,
    EndpointNew,
    check_endpoint,
)
from app.web.event_words import kept_words
from app.web.jobs import BulkJob, DryRun, PerSecond, begin_job
from app.web.paging import Moment
from app.web.problems import invalid, not_found
from app.web.resending import probe_soon


class Recover(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be sent again, and how fast."""

    since: Moment
    until: Moment | UnsetType = UNSET
    status: Annotated[
        Literal["failed", "missing"],
        Meta(description="failed: every attempt failed; missing: there never was a delivery."),
    ] = "failed"
    dry_run: DryRun = False
    per_second: PerSecond = PER_SECOND_DEFAULT


class Enable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to become of the deliveries that were held."""

    held: Annotated[Literal["send", "drop"], Meta(description="send: they are due now; drop: they are cancelled.")] = (
        "send"
    )


async def add(request: ApiRequest, wanted: EndpointNew) -> Endpoint:
    """A new endpoint with its secret, given or generated, which is shown this once. Raises Problem 422."""
    gateway = gateway_of(request)
    await _check(gateway, wanted)
    secret = new_secret("hmac" if wanted.signature is UNSET else wanted.signature, wanted.secret)
    made = await endpoints.create_endpoint(
        gateway.engine,
        gateway.vault,
        principal_of(request).environment_id,
        NewEndpoint(**_given(wanted), secrets=[secret]),
        gateway.clock.now(),
    )
    await gateway.registry.reload()
    return await shown_endpoint(request, made, secret, wanted.headers)


async def change(request: ApiRequest, endpoint_id: int, wanted: EndpointChange) -> Endpoint:
    """The endpoint as it is then. Raises Problem 404, 422."""
    gateway = gateway_of(request)
    present = await found_endpoint(request, endpoint_id)
    if wanted.secret is not UNSET and wanted.signature is UNSET and present.signature == "ed25519":
        wanted.signature = "ed25519"
    await _check(gateway, wanted)
    changes = _given(wanted)
    secret = None
    if wanted.secret is not UNSET or wanted.signature not in (UNSET, present.signature):
        kind = present.signature if wanted.signature is UNSET else wanted.signature
        secret = new_secret(kind, wanted.secret)
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
    return await shown_endpoint(request, still_there(changed, endpoint_id), secret, wanted.headers)


async def remove(request: ApiRequest, endpoint_id: int) -> None:
    """Takes the endpoint away. Raises Problem 404."""
    gateway = gateway_of(request)
    number = known_number(endpoint_id, "endpoint")
    environment_id = principal_of(request).environment_id
    now, make_known = gateway.clock.now(), gateway.registry.reload
    if not await endpoints.delete_endpoint(gateway.engine, gateway.vault, environment_id, number, now, make_known):
        raise not_found("endpoint", endpoint_id)


async def enable(request: ApiRequest, endpoint_id: int, wanted: Enable) -> EnabledEndpoint:
    """The endpoint, active; what was held for it is due now, or cancelled. Raises Problem 404."""
    gateway = gateway_of(request)
    number = known_number(endpoint_id, "endpoint")
    of_theirs = (gateway.engine, principal_of(request).environment_id, number, gateway.clock.now())
    cancelled = await endpoints.drop_held(*of_theirs) if wanted.held == "drop" else 0
    enabled = await endpoints.enable_endpoint(*of_theirs, gateway.registry.reload)
    gateway.sender.bell.ring()
    answer = await shown_endpoint(request, still_there(enabled, endpoint_id))
    return EnabledEndpoint(**{name: getattr(answer, name) for name in answer.__struct_fields__}, cancelled=cancelled)


async def send_test(request: ApiRequest, endpoint_id: int) -> str:
    """The id of a webhook.test event, which is on its way; a failing endpoint is probed by it. Raises 404, 409."""
    gateway = gateway_of(request)
    present = await found_endpoint(request, endpoint_id)
    check_active(present)
    await probe_soon(gateway, present.id)
    event = await gateway.ingest.send_test(principal_of(request).environment_id, present.id)
    return public_id(EVENT, event)


async def recover(request: ApiRequest, endpoint_id: int, wanted: Recover) -> BulkJob:
    """The job that sends again what the endpoint did not get. Raises Problem 404, 409, 422."""
    present = await found_endpoint(request, endpoint_id)
    check_active(present)
    kind = RECOVER_MISSING if wanted.status == "missing" else RECOVER_FAILED
    order = Order(
        environment_id=principal_of(request).environment_id,
        kind=kind,
        endpoint_id=present.id,
        since=wanted.since,
        until=wanted.until or gateway_of(request).clock.now(),
        per_second=wanted.per_second,
    )
    if not wanted.dry_run:
        await probe_soon(gateway_of(request), present.id)
    return await begin_job(request, order, dry_run=wanted.dry_run)


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
