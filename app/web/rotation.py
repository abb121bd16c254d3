"""A new secret for an endpoint, while the old ones still count: `POST /api/webhooks/manage/{id}/rotate-secret`."""

from datetime import timedelta
from typing import Annotated

import msgspec
from litestar import post
from litestar.params import FromPath
from msgspec import UNSET, Meta, UnsetType

from app.store import endpoints
from app.web.context import ApiRequest, gateway_of, principal_of
from app.web.endpoint_answers import found_endpoint, new_secret, shown_endpoint, still_there
from app.web.endpoint_shapes import NONE_SHARED, Endpoint, Secret, check_new_secret
from app.web.input import read_body
from app.web.problems import FieldError, invalid

DAY_S = 86_400
OVERLAP_S_MAX = 30 * DAY_S


class Rotation(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new secret; a missing one is generated."""

    secret: Secret | UnsetType = UNSET
    overlap_s: Annotated[
        int, Meta(ge=0, le=OVERLAP_S_MAX, description="How long the secrets so far sign along with the new one.")
    ] = DAY_S


@post(
    "/{endpoint_id:int}/rotate-secret",
    operation_id="rotateSecret",
    status_code=200,
    opt={"body": Rotation},
)
async def rotate_secret(request: ApiRequest, endpoint_id: FromPath[int]) -> Endpoint:
    """Give the endpoint a new secret, which is in this answer alone; those before it sign along for a while."""
    return await give_secret(request, endpoint_id, await read_body(request, Rotation))


async def give_secret(request: ApiRequest, endpoint_id: int, wanted: Rotation) -> Endpoint:
    """The endpoint with its new secret, which is shown this once. Raises Problem 404, 409, 422."""
    gateway, present = gateway_of(request), await found_endpoint(request, endpoint_id)
    _check(wanted, present.signature)
    secret = new_secret(present.signature, wanted.secret)
    rotated = await endpoints.rotate_secret(
        gateway.engine,
        gateway.vault,
        principal_of(request).environment_id,
        present.id,
        secret,
        timedelta(seconds=wanted.overlap_s),
        gateway.clock.now(),
    )
    await gateway.registry.reload()
    return await shown_endpoint(request, still_there(rotated, endpoint_id), secret)


def _check(wanted: Rotation, signature: str) -> None:
    if wanted.secret is UNSET:
        return
    wrong = [NONE_SHARED] if signature == "ed25519" else check_new_secret(wanted.secret)
    if errors := [FieldError("secret", message) for message in wrong]:
        raise invalid(errors)
