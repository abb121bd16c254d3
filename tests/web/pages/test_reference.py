import re

import pytest

from app.web.pages.reference import words_of
from tests.web.gateways import Api
from tests.web.pages.visitors import Visitor

pytestmark = pytest.mark.anyio

PAGE_BYTES_MAX = 150_000


async def test_every_operation_of_the_api_stands_in_the_reference(small_api: Api) -> None:
    visitor = Visitor(small_api)
    index = (await visitor.get("/docs")).text
    document = (await small_api.get("/openapi.json")).json()
    parts = dict.fromkeys(re.findall(r'href="(/docs/[a-z-]+)"', index))
    pages = {path: (await visitor.get(path)).text for path in parts}
    whole = "".join(pages.values())
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert f'id="{operation["operationId"]}"' in whole, path
    assert all(len(page.encode()) < PAGE_BYTES_MAX for page in (index, *pages.values()))


async def test_every_link_inside_a_part_leads_somewhere(small_api: Api) -> None:
    visitor = Visitor(small_api)
    for path in set(re.findall(r'href="(/docs/[a-z-]+)"', (await visitor.get("/docs")).text)):
        text = (await visitor.get(path)).text
        anchors = set(re.findall(r'id="([^"]+)"', text))
        assert set(re.findall(r'href="#([^"]+)"', text)) <= anchors


async def test_an_unknown_part_is_not_found(small_api: Api) -> None:
    assert (await Visitor(small_api).get("/docs/nothing")).status_code == 404


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 5}, "integer ≥ 1, ≤ 5"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string or null"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Endpoint"}}, "list of Endpoint"),
        ({"enum": ["hmac", "ed25519"]}, '"hmac" or "ed25519"'),
        ({"type": "string", "format": "uri"}, "uri"),
        ({}, "any"),
    ],
)
def test_a_schema_is_told_in_words(schema: dict[str, object], words: str) -> None:
    assert words_of(schema) == words
