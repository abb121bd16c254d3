"""One environment and short words for filling it."""

from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel

from app.store.endpoints import (
    Endpoint,
    EndpointChange,
    MakeKnown,
    NewEndpoint,
    change_endpoint,
    create_endpoint,
    to_nobody,
)
from app.store.ids import IdSource
from app.store.sources import NewSource, create_source
from app.store.tables import (
    AttemptRow,
    DeliveryRow,
    EnvironmentRow,
    EventRow,
    ReceiptRow,
    SourceRow,
    table_of,
)
from app.store.transactions import writing
from app.vault import Vault
from tests.conftest import FrozenClock


class World(NamedTuple):
    """An environment of a database."""

    engine: AsyncEngine
    clock: FrozenClock
    ids: IdSource
    vault: Vault
    environment_id: int
    key: str

    async def add(self, row: type[SQLModel], values: dict[str, Any]) -> None:
        async with writing(self.engine) as connection:
            await connection.execute(sa.insert(table_of(row)).values(values))

    async def source(self, name: str = "prod", provider: str = "resend") -> int:
        new = NewSource(name=name, provider=provider, secrets={"signing_secret": ["whsec_1"]})
        await create_source(self.engine, self.vault, self.environment_id, new, self.clock.now())
        found = await self.row(SourceRow, SourceRow.name == name, SourceRow.deleted_at == None)  # noqa: E711 - SQL
        return found.id

    async def endpoint(self, url: str = "https://example.com/hook", **fields: Any) -> Endpoint:
        new = NewEndpoint(url=url, **{"events": "*", "secrets": ["whsec_1"]} | fields)
        return await create_endpoint(self.engine, self.vault, self.environment_id, new, self.clock.now())

    async def pause(self, endpoint_id: int, make_known: MakeKnown = to_nobody) -> Endpoint | None:
        off = EndpointChange(active=False)
        environment_id, now = self.environment_id, self.clock.now()
        return await change_endpoint(self.engine, self.vault, environment_id, endpoint_id, off, now, make_known)

    async def receipt(self, source_id: int, status: str = "accepted", **fields: Any) -> int:
        number = self.ids.next()
        values = {
            "id": number,
            "source_id": source_id,
            "status": status,
            "method": "POST",
            "url": "http://127.0.0.1:8420/api/webhooks/prod",
            "headers": b'{"content-type": "application/json"}',
            "body": b'{"type": "email.bounced"}',
        }
        await self.add(ReceiptRow, values | fields)
        return number

    async def event(self, type_: str = "email.bounced", **fields: Any) -> int:
        number = self.ids.next()
        values = {
            "id": number,
            "environment_id": self.environment_id,
            "source_id": None,
            "receipt_id": None,
            "type": type_,
            "recipient": "ada@example.com",
            "email_id": "msg_1",
            "occurred_at": self.clock.now(),
            "dedup_key": number.to_bytes(8, "big"),
            "body": msgspec.json.encode({"type": type_}),
        }
        await self.add(EventRow, values | fields)
        return number

    async def delivery(self, event_id: int, endpoint_id: int, status: str = "pending", **fields: Any) -> int:
        number = self.ids.next()
        values = {
            "id": number,
            "event_id": event_id,
            "endpoint_id": endpoint_id,
            "origin": "event",
            "status": status,
            "attempts": 0,
            "due_at": self.clock.now(),
            "order_key": number % 1_000 if status == "queued" else None,
        }
        await self.add(DeliveryRow, values | fields)
        return number

    async def attempt(self, delivery_id: int, number: int, **fields: Any) -> int:
        attempt_id = self.ids.next()
        values = {
            "id": attempt_id,
            "delivery_id": delivery_id,
            "number": number,
            "duration_ms": 12,
            "timing": b'{"connect_ms": 3}',
            "request_headers": b'{"webhook-id": "evt_1"}',
            "request_body": None,
            "response_headers": b'{"server": "nginx"}',
            "response_body": b"busy \xff",
            "status_code": 503,
        }
        await self.add(AttemptRow, values | fields)
        return attempt_id

    async def row(self, row: type[SQLModel], *which: Any) -> Any:
        async with self.engine.connect() as connection:
            return (await connection.execute(sa.select(table_of(row)).where(*which))).one()

    async def status(self, delivery_id: int) -> str:
        return (await self.row(DeliveryRow, table_of(DeliveryRow).c.id == delivery_id)).status

    async def config_version(self) -> int:
        environment = table_of(EnvironmentRow)
        return (await self.row(EnvironmentRow, environment.c.id == self.environment_id)).config_version
