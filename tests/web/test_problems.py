from pathlib import Path

import pytest

from app.store.transactions import writing
from tests.web.gateways import Api, fields_of, gateway_of, serving

pytestmark = pytest.mark.anyio


async def test_an_unknown_path_is_a_problem(small_api: Api) -> None:
    for path in ("/nope", "/api/nope", "/api", "/api/webhooks/a/b", "/api/webhooks/manage/1/nope"):
        answer = await small_api.get(path)
        assert answer.status_code == 404, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert path in answer.json()["detail"]


async def test_a_wrong_method_names_the_right_ones(small_api: Api) -> None:
    answer = await small_api.put("/api/sources")
    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"GET", "POST"} <= set(answer.headers["allow"].split(", "))


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"'x'", b"{} {}", b"nope", b'{"url": }', b"[" * 100_000])
async def test_what_is_not_json_is_a_problem(small_api: Api, body: bytes) -> None:
    for path in ("/api/webhooks/manage", "/api/sources", "/api/keys", "/api/receipts/reprocess"):
        answer = await small_api.post(path, content=body)
        assert answer.status_code == 400
        assert answer.json()["type"] == "urn:mailweir:problem:not-json"


@pytest.mark.parametrize("body", [b"[]", b"null", b"5", b'"x"'])
async def test_json_that_is_no_object_is_a_problem(small_api: Api, body: bytes) -> None:
    answer = await small_api.post("/api/keys", content=body)
    assert (answer.status_code, fields_of(answer)) == (422, [""])
    assert "The body: must be an object" in answer.json()["detail"]


async def test_a_deeply_nested_body_is_refused_like_any_other(small_api: Api) -> None:
    for depth in (100, 400, 900, 5000):
        for body in (b"[" * depth + b"]" * depth, b'{"name": ' + b"[" * depth + b"]" * depth + b"}"):
            answer = await small_api.post("/api/keys", content=body)
            assert answer.status_code in (400, 422), depth


async def test_a_body_over_the_limit_is_refused(small_api: Api) -> None:
    limit = gateway_of(small_api).settings.api_body_bytes_max
    answer = await small_api.post("/api/keys", content=b" " * (limit + 1))
    assert answer.status_code == 413
    assert "MAILWEIR_API_BODY_BYTES_MAX" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("limit=1.5", "limit"),
        ("cursor=!!", "cursor"),
        ("cursor=_____________w", "cursor"),
        ("since=yesterday", "since"),
        ("until=2026-03-03", "until"),
        ("since=2026-03-03T08:15:00", "since"),
        ("nope=1", "nope"),
        ("limits=1", "limits"),
    ],
)
async def test_a_bad_filter_is_named(small_api: Api, query: str, field: str) -> None:
    for path in ("/api/events", "/api/deliveries", "/api/receipts"):
        answer = await small_api.get(f"{path}?{query}")
        assert (answer.status_code, fields_of(answer)) == (422, [field]), path


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/events?type=bounec", "type"),
        ("/api/events?q=a%00b", "q"),
        ("/api/events?recipient=" + "a" * 501, "recipient"),
        ("/api/deliveries?status=done", "status"),
        ("/api/deliveries?status_code=99", "status_code"),
        ("/api/deliveries?status_code=abc", "status_code"),
        ("/api/deliveries?endpoint_id=0", "endpoint_id"),
        ("/api/deliveries?endpoint_id=2147483648", "endpoint_id"),
        ("/api/receipts?status=lost", "status"),
    ],
)
async def test_a_bad_value_of_a_filter_is_named(small_api: Api, path: str, field: str) -> None:
    answer = await small_api.get(path)
    assert (answer.status_code, fields_of(answer)) == (422, [field])


async def test_our_own_fault_tells_nothing_of_the_inside(small_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_of(small_api), "catalog", "no catalog at all")
    answer = await small_api.get("/api/mappings")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "str" not in answer.text
    assert "catalog" not in answer.text


async def test_health_needs_no_key(small_api: Api) -> None:
    small_api.headers.pop("Authorization")
    for path in ("/health", "/ready"):
        answer = await small_api.get(path)
        assert (answer.status_code, answer.json()["status"]) == (200, "ok")


async def test_a_store_that_cannot_commit_is_not_ready(sqlite_url: str, tmp_path: Path) -> None:
    async with serving(sqlite_url, tmp_path, commit_timeout_s=0.2) as api:
        async with writing(gateway_of(api).engine):
            answer = await api.get("/ready")
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert "MAILWEIR_COMMIT_TIMEOUT_S" in answer.json()["detail"]
        assert (await api.get("/health")).status_code == 200


async def test_metrics_are_shown_in_prometheus_text(api: Api) -> None:
    answer = await api.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    for name in ("mailweir_backlog", "mailweir_commit_duration_seconds_bucket", "mailweir_build_info"):
        assert name in answer.text
