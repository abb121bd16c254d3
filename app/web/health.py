"""Whether the gateway lives, whether it can commit, and what it has counted."""

import msgspec
from litestar import Response, get
from sqlalchemy.exc import SQLAlchemyError

from app import __version__
from app.gateway import Gateway
from app.metrics import exposition, set_backlog
from app.store.errors import driver_message
from app.store.ledger import StoreUnavailable
from app.store.log import count_open
from app.store.readiness import leave_no_trace
from app.web.context import gateway_of
from app.web.problems import AnyRequest, Problem

EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Health(msgspec.Struct):
    """The process answers."""

    version: str
    status: str = "ok"


@get("/health", operation_id="health", tags=["Operation"])
async def health() -> Health:
    """Tell whether the process lives; asks nobody else."""
    return Health(__version__)


@get("/ready", operation_id="ready", tags=["Operation"], opt={"fails": [503]})
async def ready(request: AnyRequest) -> Health:
    """Tell whether a request could be committed now: commits a small transaction the way requests are."""
    try:
        await gateway_of(request).ledger.run(leave_no_trace)
    except (StoreUnavailable, SQLAlchemyError) as error:
        raise Problem(503, f"The store cannot commit: {driver_message(error)}.") from error
    return Health(__version__)


@get("/metrics", operation_id="metrics", tags=["Operation"], media_type=EXPOSITION_TYPE)
async def metrics(request: AnyRequest) -> Response[bytes]:
    """Show what was counted, for Prometheus."""
    gateway = gateway_of(request)
    await _count_open(gateway)
    return Response(exposition(gateway.place.shared_folder), media_type=EXPOSITION_TYPE)


async def _count_open(gateway: Gateway) -> None:
    counted = await count_open(gateway.engine)
    waiting_s = 0.0
    if counted.oldest_due_at is not None:
        waiting_s = max(0.0, (gateway.clock.now() - counted.oldest_due_at).total_seconds())
    set_backlog(counted.by_status, counted.active_endpoints, waiting_s)
