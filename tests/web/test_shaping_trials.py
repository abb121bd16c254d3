"""Trying filters and transforms on stored events, and mending a transform that holds deliveries."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from adapters.expressions import compile_expression
from app.shaping import StoredEvent, try_on
from tests.servers import Sink
from tests.servers import sink as serve
from tests.web.gateways import Api, add_endpoint, add_source, fields_of, post_native

pytestmark = pytest.mark.anyio
MANAGE = "/api/webhooks/manage"


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with serve() as sink:
        yield sink


async def tried(api: Api, endpoint: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    answer = await api.post(f"{MANAGE}/{endpoint['id']}/try", json=wanted)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_last_twenty_events_that_the_endpoint_asks_for_are_tried(api: Api) -> None:
    endpoint = await add_endpoint(api, events="bounce", active=False)
    await add_source(api)
    for number in range(22):
        await post_native(api, recipient=f"{'anna' if number % 3 else 'bob'}@example.com")
        await post_native(api, "email.opened")
    answer = await tried(api, endpoint, filter="starts_with(data.recipient, 'bob')", transform="{who: data.recipient}")
    assert (answer["tried"], answer["matched"]) == (20, 7)
    assert {event["type"] for event in answer["events"]} == {"email.bounced"}
    assert [event["id"] for event in answer["events"]] == sorted([event["id"] for event in answer["events"]])[::-1]
    results = [event["result"] for event in answer["events"] if event["matched"]]
    assert results == [{"who": "bob@example.com"}] * 7
    assert all(event["result"] is None and event["error"] is None for event in answer["events"] if not event["matched"])


async def test_an_event_of_choice_is_tried_whatever_its_type(api: Api) -> None:
    endpoint = await add_endpoint(api, events="bounce", filter="data.recipient", transform="{t: type}")
    await add_source(api)
    await post_native(api, "email.opened")
    (event,) = (await api.get("/api/events")).json()["data"]
    answer = await tried(api, endpoint, event_id=event["id"])
    assert answer["events"] == [
        {"id": event["id"], "type": "email.open", "matched": True, "result": {"t": "email.open"}, "error": None}
    ]
    assert (await tried(api, endpoint))["events"] == []
    whole = (await tried(api, endpoint, event_id=event["id"], transform=None, filter=None))["events"][0]["result"]
    assert whole["id"] == event["id"]
    for unknown in ("evt_000000000000000", "nothing"):
        gone = await api.post(f"{MANAGE}/{endpoint['id']}/try", json={"event_id": unknown})
        assert gone.status_code == 404


async def test_a_trial_shows_why_a_result_is_missing(api: Api) -> None:
    endpoint = await add_endpoint(api, events="bounce", active=False)
    await add_source(api)
    await post_native(api)
    for transform, reason in (
        ("data.nothing", "yields nothing"),
        ("sort(data.recipient)", "sort"),
        (f"[{', '.join(['data'] * 400)}]", "too many to show"),
    ):
        (event,) = (await tried(api, endpoint, transform=transform))["events"]
        assert (event["matched"], event["result"]) == (True, None)
        assert reason in event["error"]
    (event,) = (await tried(api, endpoint, filter="sort(data.recipient)"))["events"]
    assert event["matched"] is True
    assert event["result"]["type"] == "email.bounced"
    assert "the filter failed" in event["error"]


@pytest.mark.parametrize("field", ["filter", "transform"])
async def test_a_mistake_is_named_with_its_position(small_api: Api, field: str) -> None:
    endpoint = await add_endpoint(small_api)
    new = {"url": endpoint["url"], "events": "*", field: "type == nothing(a)"}
    for refused in (
        await small_api.post(f"{MANAGE}/{endpoint['id']}/try", json={field: "type == nothing(a)"}),
        await small_api.patch(f"{MANAGE}/{endpoint['id']}", json={field: "type == nothing(a)"}),
        await small_api.post(MANAGE, json=new),
    ):
        assert refused.status_code == 422
        (error,) = refused.json()["errors"]
        assert (error["field"], error["position"]) == (field, 8)
        assert "there is no function nothing()" in error["message"]
    assert fields_of(await small_api.post(f"{MANAGE}/{endpoint['id']}/try", json={"events": "*"})) == ["events"]
    assert (await small_api.post(f"{MANAGE}/7/try", json={})).status_code == 404


async def test_what_takes_too_long_is_cut_off() -> None:
    seconds = count(step=2)
    events = [StoredEvent(f"evt_{number}", "email.open", b"{}") for number in range(4)]
    shaped = try_on(events, None, compile_expression("`1`"), monotonic=lambda: float(next(seconds)))
    assert [event.matched for event in shaped] == [True, False, False, False]
    assert "longer than 3 s" in (shaped[1].error or "")


async def test_the_gateway_goes_on_while_something_expensive_is_tried(api: Api) -> None:
    endpoint = await add_endpoint(api, events="bounce", active=False)
    await add_source(api)
    for _ in range(20):
        await post_native(api)
    nines = f"[{', '.join(['`1`'] * 40)}]"
    expensive = f"map(&map(&map(&map(&to_string(@), {nines}), {nines}), {nines}), {nines})"
    trial = asyncio.create_task(tried(api, endpoint, transform=expensive))
    answered = 0
    while not trial.done():
        assert (await api.get("/health")).status_code == 200
        answered += 1
        await asyncio.sleep(0.01)
    assert all("steps" in event["error"] or "not tried" in event["error"] for event in (await trial)["events"])
    assert answered > 1


async def held(api: Api, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(20):
        while len(rows := (await api.get("/api/deliveries?status=held")).json()["data"]) < count:
            await asyncio.sleep(0.02)
    return rows


@pytest.mark.parametrize(
    ("transform", "reason"),
    [
        ("data.nothing", "it yields nothing (null)"),
        ("sort(data.recipient)", "sort"),
        (
            "["
            + ", ".join(["to_string(@)"] * 10)
            + "] | "
            + " | ".join(f"[{', '.join(['@'] * times)}]" for times in (10, 13)),
            "bytes, 1048576 are allowed",
        ),
    ],
)
async def test_a_transform_that_fails_holds_and_mending_it_releases(
    api: Api, sink: Sink, transform: str, reason: str
) -> None:
    endpoint = await add_endpoint(api, url=sink.url, events="bounce", transform=transform)
    await add_source(api)
    for _ in range(2):
        await post_native(api)
    assert all(reason in row["error"] for row in await held(api, 2))
    assert not sink.requests
    await api.patch(f"{MANAGE}/{endpoint['id']}", json={"transform": "{who: data.recipient}"})
    received = await sink.arrived(2)
    assert [request.json() for request in received] == [{"who": "anna@example.com"}] * 2


async def test_one_held_delivery_is_released_by_hand(api: Api, sink: Sink) -> None:
    await add_endpoint(api, url=sink.url, events="bounce,open", transform="data.bounce && {who: data.recipient}")
    await add_source(api)
    await post_native(api, "email.opened")
    (row,) = await held(api, 1)
    again = await api.post(f"/api/deliveries/{row['id']}/retry")
    assert again.status_code == 202
    (row,) = await held(api, 1)
    assert "yields nothing" in row["error"]
