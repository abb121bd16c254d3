"""Keys, how long things are kept and how much room they take, and the configuration with its origins."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath
from msgspec import Meta

from app.settings import describe
from app.store import accounts
from app.store.errors import LastAdminKey
from app.store.sizes import read_sizes
from app.web.auth import ROLE_OPTION, key_ring_of
from app.web.context import gateway_of, principal_of
from app.web.pages.forms import read_form
from app.web.pages.rendering import page, redirect, viewer_of
from app.web.problems import AnyRequest

ADMIN: dict[str, Any] = {ROLE_OPTION: "admin"}


class KeyForm(msgspec.Struct):
    """A key to be made."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    role: Literal["admin", "write", "read"] = "read"


@get("/settings")
async def show_settings(request: AnyRequest) -> Response[Any]:
    """All of it; keys are for admins to see."""
    return await _shown(request)


@post("/settings/keys", opt=ADMIN, status_code=200)
async def create_key(request: AnyRequest) -> Response[Any]:
    """Makes a key and shows it, once."""
    gateway, form = gateway_of(request), await read_form(request, KeyForm)
    environment_id = principal_of(request).environment_id
    _, key = await accounts.create_key(gateway.engine, environment_id, form.name, form.role, gateway.clock.now())
    return await _shown(request, new_key=key)


@post("/settings/keys/{key_id:int}/revoke", opt=ADMIN)
async def revoke_key(request: AnyRequest, key_id: FromPath[int]) -> Response[Any]:
    """Ends a key, and the sessions that stand for it."""
    gateway = gateway_of(request)
    environment_id = principal_of(request).environment_id
    try:
        await accounts.revoke_key(gateway.engine, environment_id, key_id, gateway.clock.now())
    except LastAdminKey as last:
        return redirect(request, "/settings", str(last), tone="bad")
    key_ring_of(request).forget()
    return redirect(request, "/settings", "The key is revoked.")


async def _shown(request: AnyRequest, new_key: str | None = None) -> Response[Any]:
    gateway = gateway_of(request)
    may_see_keys = viewer_of(request).may("admin")
    environment_id = principal_of(request).environment_id
    return page(
        request,
        "settings.html",
        keys=await accounts.list_keys(gateway.engine, environment_id) if may_see_keys else [],
        new_key=new_key,
        sizes=await read_sizes(gateway.engine),
        retention_days=gateway.settings.retention_days,
        lines=describe(gateway.settings),
    )


SETTINGS = [show_settings, create_key, revoke_key]
