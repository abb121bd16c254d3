"""What every route may ask of its request: the gateway, whose key it came with, and whether an id can exist."""

from typing import Annotated, Any, cast

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from msgspec import Meta

from app.gateway import Gateway
from app.store.accounts import Principal
from app.store.ids import parse_id
from app.web.problems import not_found

NUMBER_MAX = 2**31 - 1
"""The largest number of an endpoint or key: that of PostgreSQL's integer."""

EndpointNumber = Annotated[int, Meta(ge=1, le=NUMBER_MAX)]
"""As a field of a body or a query."""

ApiRequest = Request[Any, Any, State]
"""A request whose key has been checked."""
ApiConnection = ASGIConnection[Any, Any, Any, State]
"""The same, or a WebSocket."""


def gateway_of(request: ApiConnection) -> Gateway:
    """The gateway behind the application."""
    return cast("Gateway", request.app.state.gateway)


def principal_of(request: ApiConnection) -> Principal:
    """Whose key it is; `auth.Authentication` put it there."""
    return cast("Principal", request.scope["auth"])


def known_number(number: int, what: str) -> int:
    """The number, if the database could hold it; otherwise 404, because then there is no such thing."""
    if not 0 < number <= NUMBER_MAX:
        raise not_found(what, number)
    return number


def known_id(prefix: str, text: str, what: str) -> int:
    """The number behind a public id ("evt_…"); a text that is none is answered 404."""
    number = parse_id(prefix, text)
    if number is None:
        raise not_found(what, text[:100])
    return number
