"""API keys: `/api/keys`, for admins."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Router, delete, get, post
from litestar.params import FromPath
from msgspec import Meta

from app.store import accounts
from app.store.accounts import ApiKey
from app.web.auth import ROLE_OPTION, key_ring_of
from app.web.context import ApiRequest, gateway_of, known_number, principal_of
from app.web.input import read_body
from app.web.problems import not_found


class KeyNew(msgspec.Struct, forbid_unknown_fields=True):
    """A key to be made."""

    name: Annotated[str, Meta(min_length=1, max_length=100, description="What the key is for.")]
    role: Annotated[Literal["admin", "write", "read"], Meta(description="admin may also manage keys.")] = "read"


class NewKey(ApiKey, frozen=True, kw_only=True):
    """A key that was just made."""

    key: str
    """Shown in this answer alone."""


class KeyList(msgspec.Struct):
    """Every key of the environment, revoked ones included."""

    data: list[ApiKey]


@get("/", operation_id="listKeys")
async def list_keys(request: ApiRequest) -> KeyList:
    """List the API keys."""
    return KeyList(list(await accounts.list_keys(gateway_of(request).engine, principal_of(request).environment_id)))


@post("/", operation_id="createKey", opt={"body": KeyNew})
async def create_key(request: ApiRequest) -> NewKey:
    """Make an API key; it is shown in this answer alone."""
    gateway, wanted = gateway_of(request), await read_body(request, KeyNew)
    made, key = await accounts.create_key(
        gateway.engine, principal_of(request).environment_id, wanted.name, wanted.role, gateway.clock.now()
    )
    return NewKey(**msgspec.structs.asdict(made), key=key)


@delete("/{key_id:int}", operation_id="revokeKey", opt={"fails": [409]})
async def revoke_key(request: ApiRequest, key_id: FromPath[int]) -> None:
    """Revoke an API key; at once on this node, within five seconds on every other. The last admin key stays."""
    gateway = gateway_of(request)
    number = known_number(key_id, "API key")
    environment_id = principal_of(request).environment_id
    if await accounts.revoke_key(gateway.engine, environment_id, number, gateway.clock.now()) is None:
        raise not_found("API key", key_id)
    key_ring_of(request).forget()


_ADMIN: dict[str, Any] = {ROLE_OPTION: "admin"}
KEYS = Router("/keys", route_handlers=[list_keys, create_key, revoke_key], opt=_ADMIN, tags=["API keys"])
