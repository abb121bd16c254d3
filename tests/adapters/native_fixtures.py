"""Native requests and the events they hold, written down in `fixtures/<provider>/<topic>.json`.

A case leaves out of its events what is empty, `attribution` where it is exact, the provider's name, and what follows by
`adapters.completions` for every provider: `suppress_recommended` as it follows from the bounce, no `machine_reason`.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from adapters.adapter import Adapter
from adapters.catalog import Catalog
from adapters.completions import should_suppress
from adapters.events import iso_millis
from adapters.reader import MappedEvent, Reading
from adapters.request import NativeRequest

FOLDER = Path(__file__).parent / "fixtures"
RECEIVED_MS = 1_767_226_000_000  # 2026-01-01T00:06:40Z
AT = RECEIVED_MS / 1000
CATALOG = Catalog.load()


def cases_of(provider: str) -> dict[str, dict[str, Any]]:
    """Every case of the provider by its topic and name."""
    return {
        f"{path.stem}: {case['name']}": case
        for path in sorted((FOLDER / provider).glob("*.json"))
        for case in json.loads(path.read_text("utf-8"))
    }


def native_request(body: Any, headers: dict[str, str] | None = None) -> NativeRequest:
    """A request with the body as it is when it is text or bytes, else as JSON."""
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return NativeRequest(
        url="https://gateway.example.com/api/webhooks/ours",
        headers={"content-type": "application/json", **(headers or {})},
        body=raw,
    )


def read(adapter: Adapter, body: Any, headers: dict[str, str] | None = None) -> Reading:
    """What the adapter makes of a body that it takes as authentic."""
    return adapter.read(native_request(body, headers), None, None, RECEIVED_MS)


def assert_reads_as_written(provider: str, case: dict[str, Any]) -> None:
    reading = read(CATALOG.get(provider), case["body"], case["headers"])
    assert [written(event) for event in reading.events] == case["events"]
    assert [[item.index, item.reason] for item in reading.quarantined] == case.get("quarantined", [])
    assert reading.ignored == case.get("ignored", 0)


def written(event: MappedEvent) -> dict[str, Any]:
    """The event in the form of the fixtures."""
    data = msgspec.to_builtins(event.data)
    provider = data.pop("provider")
    head = {
        "type": event.type,
        "timestamp": iso_millis(event.timestamp_ms),
        "event_id": provider["event_id"],
        "event_type": provider["event_type"],
    }
    if provider["stream"] is not None:
        head["stream"] = provider["stream"]
    _leave_out_what_follows(data)
    usual = ("", None, [], {})
    return {**head, "data": {key: value for key, value in data.items() if value not in usual and value != "exact"}}


def _leave_out_what_follows(data: dict[str, Any]) -> None:
    bounce, client = data.get("bounce"), data.get("client")
    if bounce and bounce["suppress_recommended"] == should_suppress(bounce["class"], permanent=bounce["permanent"]):
        del bounce["suppress_recommended"]
    if client and client["machine_reason"] is None:
        del client["machine_reason"]


def assert_samples_are_signed_and_read(provider: str) -> None:
    """Every sample, signed as the provider would, verifies, is recognized and becomes one event of a declared type."""
    adapter = CATALOG.get(provider)
    stored, signing = adapter.generate_secrets()
    numbers = iter(range(1000))
    for name in adapter.samples:
        request = adapter.sample_request(
            [name],
            signing=signing,
            url="https://gateway.example.com/api/webhooks/ours",
            at=AT,
            recipient="ann@example.net",
            unique=lambda: f"u{next(numbers)}",
        )
        reading = adapter.read(request, {key: [secret] for key, secret in stored.items()}, AT, RECEIVED_MS)
        assert reading.quarantined == [], name
        (event,) = reading.events
        assert event.type in adapter.unified_types(name), name
        assert event.data.recipient == "ann@example.net", name
        assert abs(event.timestamp_ms - RECEIVED_MS) < 1000, name
        assert adapter in CATALOG.recognize(request), name


def samples_without_types(provider: str) -> set[str]:
    """Native types that stand for events but have no sample."""
    adapter = CATALOG.get(provider)
    sampled = {sample.partition("/")[0] for sample in adapter.samples}
    return {native for native in adapter.native_types if native not in sampled}
