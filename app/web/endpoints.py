"""The subscribers' registrations: `/api/webhooks/manage`."""

import msgspec
from litestar import Router, delete, get, patch, post
from litestar.params import FromPath

from app.store import endpoints
from app.web import endpoint_changes
from app.web.context import ApiRequest, gateway_of, principal_of
from app.web.endpoint_answers import found_endpoint, shown_endpoint
from app.web.endpoint_changes import Enable, Recover
from app.web.endpoint_shapes import EnabledEndpoint, Endpoint, EndpointChange, EndpointList, EndpointNew
from app.web.input import read_body
from app.web.jobs import BulkJob
from app.web.rotation import rotate_secret
from app.web.shaping_trials import try_shaping


class TestSent(msgspec.Struct):
    """The test event, which is on its way."""

    event_id: str


@get("/", operation_id="listEndpoints")
async def list_endpoints(request: ApiRequest) -> EndpointList:
    """List the endpoints."""
    gateway = gateway_of(request)
    rows = await endpoints.list_endpoints(gateway.engine, principal_of(request).environment_id)
    return EndpointList([await shown_endpoint(request, row) for row in rows])


@post("/", operation_id="createEndpoint", opt={"body": EndpointNew})
async def create_endpoint(request: ApiRequest) -> Endpoint:
    """Register an endpoint. Its secret, given or generated, is in this answer alone."""
    return await endpoint_changes.add(request, await read_body(request, EndpointNew))


@get("/{endpoint_id:int}", operation_id="getEndpoint")
async def get_endpoint(request: ApiRequest, endpoint_id: FromPath[int]) -> Endpoint:
    """Show one endpoint."""
    return await shown_endpoint(request, await found_endpoint(request, endpoint_id))


@patch("/{endpoint_id:int}", operation_id="changeEndpoint", opt={"body": EndpointChange})
async def change_endpoint(request: ApiRequest, endpoint_id: FromPath[int]) -> Endpoint:
    """Change an endpoint.

    Absent fields stay as they are, null takes an optional one away; a new secret replaces every old one at once.
    """
    return await endpoint_changes.change(request, endpoint_id, await read_body(request, EndpointChange))


@delete("/{endpoint_id:int}", operation_id="deleteEndpoint")
async def delete_endpoint(request: ApiRequest, endpoint_id: FromPath[int]) -> None:
    """Take an endpoint away; what it is still owed is cancelled, what it got stays in the log."""
    await endpoint_changes.remove(request, endpoint_id)


@post("/{endpoint_id:int}/enable", operation_id="enableEndpoint", status_code=200, opt={"body": Enable})
async def enable_endpoint(request: ApiRequest, endpoint_id: FromPath[int]) -> EnabledEndpoint:
    """Send to the endpoint again; what was held for it is due now, or cancelled."""
    return await endpoint_changes.enable(request, endpoint_id, await read_body(request, Enable))


@post("/{endpoint_id:int}/test", operation_id="testEndpoint", status_code=202, opt={"fails": [409]})
async def test_endpoint(request: ApiRequest, endpoint_id: FromPath[int]) -> TestSent:
    """Send the endpoint a webhook.test event; GET /api/events/{event_id} tells how it went."""
    return TestSent(await endpoint_changes.send_test(request, endpoint_id))


@post("/{endpoint_id:int}/recover", operation_id="recoverEndpoint", status_code=202, opt={"body": Recover})
async def recover_endpoint(request: ApiRequest, endpoint_id: FromPath[int]) -> BulkJob:
    """Send again what failed, or what the endpoint asks for and never got, as a job."""
    return await endpoint_changes.recover(request, endpoint_id, await read_body(request, Recover))


ENDPOINTS = Router(
    "/webhooks/manage",
    route_handlers=[
        list_endpoints,
        create_endpoint,
        get_endpoint,
        change_endpoint,
        delete_endpoint,
        enable_endpoint,
        rotate_secret,
        test_endpoint,
        try_shaping,
        recover_endpoint,
    ],
    tags=["Endpoints"],
)
