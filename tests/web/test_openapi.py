"""The document tells the truth: requests made from it are answered as it says."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.web.gateways import ADMIN_KEY, Api
from tests.web.processes import serving_process

pytestmark = pytest.mark.anyio


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


async def test_options_names_every_method_of_a_path(small_api: Api) -> None:
    document = (await small_api.get("/openapi.json")).json()
    small_api.headers.pop("Authorization")
    for path in ("/api/keys", "/api/sources", "/api/webhooks/manage", "/api/receipts/reprocess"):
        answer = await small_api.options(path)
        assert answer.status_code == 204
        assert set(answer.headers["allow"].split(", ")) == {"OPTIONS"} | {m.upper() for m in document["paths"][path]}


def test_generated_requests_are_answered_as_the_document_says(sqlite_url: str, tmp_path: Path) -> None:
    # Left out: that whatever fits the document is accepted. Words, expressions and addresses are checked beyond it.
    with serving_process(sqlite_url, tmp_path) as url:
        run = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
                *("--header", f"Authorization: Bearer {ADMIN_KEY}"),
                *("--max-examples", "6"),
                *("--exclude-checks", "positive_data_acceptance"),
                *("--exclude-path", "/api/stream"),  # its answer has no end
                *("--generation-deterministic", "--no-color"),
            ],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=tmp_path,
        )
    assert run.returncode == 0, run.stdout
