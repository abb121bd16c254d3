"""The pages of the alert rules."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from app.store.rollups import MINUTE_MS
from app.store.tables import RollupRow, table_of
from app.store.transactions import writing
from app.watching import KINDS
from app.web.pages.alert_forms import KIND_FORMS
from tests.web.gateways import Api, add_endpoint, add_source, gateway_of, serving
from tests.web.pages.test_overview import seen
from tests.web.pages.visitors import Visitor
from tests.web.test_auth import make_key

pytestmark = pytest.mark.anyio

BOUNCES = {"kind": "bounce_rate", "name": "Too many", "threshold": "2.5", "window_s": "90", "min_count": "50"}


async def rules(api: Api) -> list[dict[str, Any]]:
    return (await api.get("/api/alerts")).json()["data"]


async def add(visitor: Visitor, **fields: str) -> httpx.Response:
    return await visitor.fill("/alerts/new", "/alerts", **{**BOUNCES, "active": "yes", **fields})


def test_every_kind_has_a_form() -> None:
    assert set(KIND_FORMS) == set(KINDS)


async def test_every_rule_is_listed_in_a_sentence(small_api: Api) -> None:
    page = await seen(await Visitor(small_api).log_in(), "/alerts")
    for rule in await rules(small_api):
        assert rule["rule"] in page
    assert "None of 7 rules fires." in page


async def test_every_kind_is_added_with_the_numbers_it_begins_with(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    defaults = {rule["kind"]: rule for rule in await rules(small_api)}
    for kind, form in KIND_FORMS.items():
        shown = await visitor.get(f"/alerts/new?kind={kind}")
        assert form.title in shown.text
        limits = KINDS[kind].limits
        numbers = {"threshold": f"{limits.threshold / form.unit:g}", "window_s": f"{limits.window_s / 60:g}"}
        added = await add(visitor, kind=kind, name=kind, **numbers, min_count=str(limits.min_count))
        assert (added.status_code, added.headers["location"]) == (303, "/alerts")
        made = (await rules(small_api))[-1]
        assert made["rule"] == defaults[kind]["rule"]


async def test_a_rule_is_added_changed_and_deleted(api: Api) -> None:
    await add_source(api)
    visitor = await Visitor(api).log_in()
    assert (await add(visitor, source="prod")).status_code == 303
    made = (await rules(api))[-1]
    assert (made["threshold"], made["window_s"], made["min_count"], made["source"]) == (0.025, 5_400, 50, "prod")
    path = f"/alerts/{made['id']}"
    assert 'value="2.5"' in (await visitor.get(path)).text
    await visitor.fill(path, "/alerts", name="Fewer", threshold="1,5", window_s="60", min_count="10")
    changed = (await rules(api))[-1]
    assert (changed["name"], changed["threshold"], changed["active"]) == ("Fewer", 0.015, False)
    assert "The rule “Fewer” is gone." in await _after(visitor, f"{path}/delete")
    assert (await visitor.get(path)).status_code == 404


async def _after(visitor: Visitor, path: str) -> str:
    assert (await visitor.fill(path, "/alerts")).status_code == 303
    return await seen(visitor, "/alerts")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"threshold": "250"}, "must be more than 0, and 100 at most."),
        ({"threshold": "much"}, "must be a number."),
        ({"threshold": "nan"}, "must be a number."),
        ({"window_s": "0"}, "must be from 1 to 1440 minutes."),
        ({"name": " "}, "must"),
        ({"source": "nobody"}, "there is no such source"),
        ({"mail": "these", "addresses": "ops@example.com"}, "the operator has to set MAILWEIR_SMTP_URL first"),
    ],
)
async def test_what_is_wrong_stands_beside_its_field_and_nothing_is_lost(
    small_api: Api, fields: dict[str, str], said: str
) -> None:
    visitor = await Visitor(small_api).log_in()
    before = await rules(small_api)
    refused = await add(visitor, **fields)
    assert refused.status_code == 422
    assert said in refused.text
    assert f'value="{fields.get("min_count", "50")}"' in refused.text
    assert await rules(small_api) == before


async def test_the_receivers_of_mails_are_chosen(sqlite_url: str, tmp_path: Path) -> None:
    async with serving(sqlite_url, tmp_path, smtp_url="smtp://127.0.0.1:1", alert_mail_from="a@example.com") as api:
        visitor = await Visitor(api).log_in()
        for mail, expected in (("settings", None), ("nobody", []), ("these", ["a@example.com", "b@example.com"])):
            sent = await add(visitor, mail=mail, addresses="a@example.com, b@example.com")
            assert sent.status_code == 303
            assert (await rules(api))[-1]["mail_to"] == expected
        assert "name at least one address" in (await add(visitor, mail="these", addresses="")).text


async def test_what_fires_stands_first_with_its_reason(api: Api) -> None:
    gateway = gateway_of(api)
    endpoint = await add_endpoint(api)
    minute = gateway.clock.ms() // MINUTE_MS * MINUTE_MS
    row = {"environment_id": 1, "kind": "endpoint", "subject_id": endpoint["id"], "minute": minute, "node": 1}
    async with writing(gateway.engine) as connection:
        await connection.execute(sa.insert(table_of(RollupRow)).values(row | {"measure": "attempt.5xx", "count": 30}))
    await gateway.alerts.watch()
    page = await seen(await Visitor(api).log_in(), "/alerts")
    assert "1 of 7 rules fires. ■ firing Failing endpoint" in page
    assert "Of 30 attempts at" in page
    assert "Look at the endpoint" in page


async def test_who_may_only_read_changes_no_rule(small_api: Api) -> None:
    reader = await Visitor(small_api).log_in((await make_key(small_api, "read"))["key"])
    assert 'href="/alerts/new"' not in (await reader.get("/alerts")).text
    assert "Delete this rule" not in (await reader.get("/alerts/1")).text
    assert (await add(reader)).status_code == 403
    assert (await reader.fill("/alerts/1/delete", "/alerts")).status_code == 403


async def test_an_unknown_kind_shows_those_there_are(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    assert "What is to be watched?" in await seen(visitor, "/alerts/new?kind=weather")
    assert (await add(visitor, kind="weather")).status_code == 422
