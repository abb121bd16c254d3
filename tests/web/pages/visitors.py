"""Somebody with a browser, as far as HTTP goes: keeps cookies, follows nothing by itself, sends forms."""

import re
from typing import Any

import httpx

from app.web.sessions import COOKIE
from tests.web.gateways import ADMIN_KEY, Api

HOST = "http://testserver"
HTML = "text/html; charset=utf-8"


class Visitor(httpx.AsyncClient):
    """A browser that is not logged in yet."""

    def __init__(self, api: Api) -> None:
        super().__init__(transport=httpx.ASGITransport(api.app), base_url=HOST, headers={"Accept": "text/html"})

    async def log_in(self, key: str = ADMIN_KEY) -> "Visitor":
        answer = await self.post("/login", data={"key": key})
        assert answer.status_code == 303, answer.text
        return self

    @property
    def session(self) -> str | None:
        return self.cookies.get(COOKIE)

    async def csrf(self, path: str = "/events") -> str:
        """What the forms of that page carry."""
        found = re.search(r'name="csrf" value="([^"]+)"', (await self.get(path)).text)
        assert found is not None
        return found[1]

    async def fill(self, path: str, page: str = "/events", **fields: Any) -> httpx.Response:
        """Sends a form that stands on `page`."""
        return await self.post(path, data={"csrf": await self.csrf(page), **fields}, headers={"Origin": HOST})
