"""The document tells the truth: requests made from it are answered as it says."""

from pathlib import Path

import pytest

from tests.web.gateways import Api

pytestmark = pytest.mark.anyio
HTTP_METHODS = {"get", "post", "patch", "delete"}


async def test_the_document_needs_no_key_and_lists_what_there_is(small_api: Api) -> None:
    small_api.headers.pop("Authorization")
    document = (await small_api.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert {"/api/webhooks", "/api/webhooks/{source}", "/api/webhooks/manage", "/api/events", "/ready"} <= set(
        document["paths"]
    )


async def test_every_operation_has_its_own_name_and_a_sentence(small_api: Api) -> None:
    document = (await small_api.get("/openapi.json")).json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["summary"].endswith("."), operation
        assert operation["tags"], operation


async def test_everything_but_the_way_in_and_the_health_needs_a_key(small_api: Api) -> None:
    document = (await small_api.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            is_open = "Inbound" in operation["tags"] or not path.startswith("/api/")
            assert ("security" in operation) != is_open, path
