"""A gateway for tests: the application, whose client speaks with the admin key, and providers that post to it."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from litestar import Litestar

from app.asgi import create_app
from app.gateway import Gateway
from app.settings import Settings, load_settings

ADMIN_KEY = "mw_live_the-admin-key-of-the-tests"
RESEND_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SUBSCRIBER = "http://127.0.0.1:9/hook"
"""Nobody listens there (the discard port), so that deliveries stay open."""

_numbers = count(1)


class Api(httpx.AsyncClient):
    """A client of an application that runs in the same event loop."""

    def __init__(self, app: Litestar) -> None:
        super().__init__(
            transport=httpx.ASGITransport(app),
            base_url="http://testserver",
            headers=with_key(ADMIN_KEY),
        )
        self.app = app


@asynccontextmanager
async def serving(database_url: str, folder: Path, **settings: Any) -> AsyncIterator[Api]:
    """A client of a running application with an admin key."""
    chosen = {"allow_networks": "127.0.0.0/8", "data_dir": folder, "api_key": ADMIN_KEY, **settings}
    with application(load_settings(database_url=database_url, **chosen)) as app:
        async with app.lifespan(), Api(app) as client:
            yield client


_unused = defaultdict[int, list[Litestar]](list)


@contextmanager
def application(settings: Settings) -> Iterator[Litestar]:
    """An application, not yet open; where there is one that another test is done with, that one, with these settings.

    To make the routes takes longer than to open a gateway.
    """
    unused = _unused[settings.api_body_bytes_max]
    app = unused.pop() if unused else create_app(settings)
    app.state.settings = settings
    yield app
    unused.append(app)


def gateway_of(api: Api) -> Gateway:
    return api.app.state.gateway


def with_key(key: str | None) -> dict[str, str]:
    return {"Authorization": "" if key is None else f"Bearer {key}"}


async def add_source(api: Api, name: str = "prod") -> None:
    added = await api.post(
        "/api/sources", json={"name": name, "provider": "resend", "secrets": {"signing_secret": RESEND_SECRET}}
    )
    assert added.status_code == 201, added.text


async def add_endpoint(api: Api, **fields: Any) -> dict[str, Any]:
    added = await api.post("/api/webhooks/manage", json={"url": SUBSCRIBER, "events": "*", **fields})
    assert added.status_code == 201, added.text
    return added.json()


async def post_native(
    api: Api,
    native_type: str = "email.bounced",
    *,
    recipient: str = "anna@example.com",
    path: str = "/api/webhooks/prod",
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """One request as Resend would send it, signed; `headers` replace some of its own."""
    gateway = gateway_of(api)
    request = gateway.catalog.get("resend").sample_request(
        [native_type],
        signing={"signing_secret": RESEND_SECRET},
        url=f"http://testserver{path}",
        at=gateway.clock.ms() / 1000,
        recipient=recipient,
        unique=lambda: f"{next(_numbers):08x}",
    )
    return await api.post(path, content=request.body, headers={**request.headers, **(headers or {})})


def fields_of(problem: httpx.Response) -> list[str]:
    """The names of the fields that a problem complains of."""
    assert problem.headers["content-type"] == "application/problem+json"
    return [error["field"] for error in problem.json().get("errors", [])]
