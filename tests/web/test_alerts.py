"""The rules that watch, over the API."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.store.rollups import MINUTE_MS
from app.store.tables import EnvironmentRow, RollupRow, table_of
from app.store.transactions import writing
from app.watching import KINDS
from tests.web.gateways import Api, add_endpoint, add_source, fields_of, gateway_of, serving

pytestmark = pytest.mark.anyio

PATH = "/api/alerts"


async def add(api: Api, **fields: Any) -> dict[str, Any]:
    added = await api.post(PATH, json={"name": "Bounces", "kind": "bounce_rate", **fields})
    assert added.status_code == 201, added.text
    return added.json()


async def test_a_new_environment_lists_one_rule_of_each_kind(api: Api) -> None:
    listed = (await api.get(PATH)).json()["data"]
    assert sorted(rule["kind"] for rule in listed) == sorted(KINDS)
    for rule in listed:
        assert (rule["state"], rule["firing"], rule["active"], rule["mail_to"]) == ("ok", [], True, None)
        assert (await api.get(f"{PATH}/{rule['id']}")).json() == rule


async def test_a_rule_is_added_changed_and_removed(api: Api) -> None:
    await add_source(api)
    added = await add(api, source="prod", threshold=0.03)
    assert added["rule"] == "Of at least 200 messages of prod within 24 h, 3 % or more bounce."
    assert (added["source"], added["endpoint_id"], added["window_s"]) == ("prod", None, 86_400)
    path = f"{PATH}/{added['id']}"
    changed = (await api.patch(path, json={"threshold": 0.1, "window_s": 3_600, "name": "B"})).json()
    assert changed == added | {
        "threshold": 0.1,
        "window_s": 3_600,
        "name": "B",
        "rule": "Of at least 200 messages of prod within 1 h, 10 % or more bounce.",
        "updated_at": changed["updated_at"],
    }
    assert (await api.delete(path)).status_code == 204
    assert [(await call(path)).status_code for call in (api.get, api.delete)] == [404, 404]
    assert (await api.patch(path, json={})).status_code == 404


async def test_what_fires_is_shown_and_a_paused_rule_fires_for_nobody(api: Api) -> None:
    gateway = gateway_of(api)
    endpoint = await add_endpoint(api)
    rule = await add(api, kind="failure_rate", endpoint_id=endpoint["id"], min_count=2)
    minute = gateway.clock.ms() // MINUTE_MS * MINUTE_MS
    row = {"environment_id": 1, "kind": "endpoint", "subject_id": endpoint["id"], "minute": minute, "node": 1}
    async with writing(gateway.engine) as connection:
        await connection.execute(sa.insert(table_of(RollupRow)).values(row | {"measure": "attempt.5xx", "count": 3}))
    await gateway.alerts.watch()
    path = f"{PATH}/{rule['id']}"
    shown = (await api.get(path)).json()
    [firing] = shown["firing"]
    assert (shown["state"], firing["endpoint_id"], firing["source"], firing["value"]) == (
        "firing",
        endpoint["id"],
        None,
        1.0,
    )
    assert shown in (await api.get(PATH)).json()["data"]
    assert (await api.patch(path, json={"active": False})).json()["state"] == "ok"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"kind": "weather"}, "kind"),
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": 0}, "threshold"),
        ({"window_s": 59}, "window_s"),
        ({"window_s": 86_401}, "window_s"),
        ({"min_count": 0}, "min_count"),
        ({"name": ""}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"source": "nobody"}, "source"),
        ({"source": "../prod"}, "source"),
        ({"endpoint_id": 1}, "endpoint_id"),
        ({"kind": "backlog_age", "source": "prod"}, "source"),
        ({"kind": "backlog_age", "endpoint_id": 999}, "endpoint_id"),
        ({"mail_to": ["ops@example.com"]}, "mail_to"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_what_makes_no_rule_is_refused_by_its_field(small_api: Api, fields: dict[str, Any], wrong: str) -> None:
    refused = await small_api.post(PATH, json={"name": "Bounces", "kind": "bounce_rate", **fields})
    assert refused.status_code == 422
    assert fields_of(refused)[0] == wrong


async def test_mail_needs_a_server_and_addresses(sqlite_url: str, tmp_path: Path) -> None:
    server = {"smtp_url": "smtp://127.0.0.1:1", "alert_mail_from": "mailweir@example.com"}
    async with serving(sqlite_url, tmp_path, **server) as api:
        rule = await add(api, mail_to=["ops@example.com"])
        assert rule["mail_to"] == ["ops@example.com"]
        for wrong in (["nobody"], ["a@b.c\nBcc: x@y.z"], ["a@b.c, d@e.f"], ["a@b.c"] * 21):
            refused = await api.patch(f"{PATH}/{rule['id']}", json={"mail_to": wrong})
            assert (refused.status_code, fields_of(refused)) == (422, ["mail_to"])
        assert (await api.patch(f"{PATH}/{rule['id']}", json={"mail_to": None})).json()["mail_to"] is None


async def test_an_environment_has_so_many_rules_and_no_more(small_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.alerts.ALERTS_MAX", len(KINDS))
    refused = await small_api.post(PATH, json={"name": "Bounces", "kind": "bounce_rate"})
    assert refused.status_code == 409


async def test_rules_of_other_environments_do_not_show(small_api: Api) -> None:
    gateway = gateway_of(small_api)
    environment = table_of(EnvironmentRow)
    async with writing(gateway.engine) as connection:
        now = gateway.clock.now()
        await connection.execute(
            sa.insert(environment).values(
                public_id="env_other", organization_id=1, name="other", config_version=1, created_at=now
            )
        )
        await connection.execute(sa.text("UPDATE alert SET environment_id = 2 WHERE id = 1"))
    assert len((await small_api.get(PATH)).json()["data"]) == len(KINDS) - 1
    for answer in (
        await small_api.get(f"{PATH}/1"),
        await small_api.patch(f"{PATH}/1", json={"active": False}),
        await small_api.delete(f"{PATH}/1"),
    ):
        assert answer.status_code == 404
