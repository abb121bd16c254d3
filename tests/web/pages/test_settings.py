import re

import pytest

from tests.web.gateways import Api
from tests.web.pages.visitors import Visitor
from tests.web.test_auth import make_key

pytestmark = pytest.mark.anyio


async def test_a_key_is_made_shown_once_and_revoked(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    made = await visitor.fill("/settings/keys", "/settings", name="<b>ci</b>", role="read")
    [key] = re.findall(r"mw_live_[A-Za-z0-9_-]{30,}", made.text)
    assert "&lt;b&gt;ci&lt;/b&gt;" in made.text
    assert (await small_api.get("/api/events", headers={"Authorization": f"Bearer {key}"})).status_code == 200
    again = (await visitor.get("/settings")).text
    assert key not in again
    number = re.findall(r"/settings/keys/(\d+)/revoke", again)[-1]
    done = await visitor.fill(f"/settings/keys/{number}/revoke", "/settings")
    assert done.headers["location"] == "/settings"
    assert (await small_api.get("/api/events", headers={"Authorization": f"Bearer {key}"})).status_code == 401


async def test_the_last_admin_key_stays(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    [number] = re.findall(r"/settings/keys/(\d+)/revoke", (await visitor.get("/settings")).text)
    await visitor.fill(f"/settings/keys/{number}/revoke", "/settings")
    assert "last admin key" in (await visitor.get("/settings")).text


async def test_keys_are_for_admins_to_see_and_make(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in((await make_key(small_api, "write"))["key"])
    shown = (await visitor.get("/settings")).text
    assert "API keys" not in shown
    assert (await visitor.fill("/settings/keys", "/settings", name="x")).status_code == 403


async def test_the_configuration_hides_secrets_and_says_where_values_come_from(api: Api) -> None:
    visitor = await Visitor(api).log_in()
    shown = (await visitor.get("/settings")).text
    assert "MAILWEIR_RETENTION_DAYS" in shown
    assert "30 days" in shown
    assert "the-admin-key-of-the-tests" not in shown
    assert re.search(r"Database</dt><dd>[0-9.]+ [kM]B", shown)
