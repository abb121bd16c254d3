"""What there is to choose from: providers and event types."""

import msgspec
import pytest
from jsonschema_rs import Draft202012Validator

from adapters.events import EVENT_TYPES
from app.web.event_types import shape_of
from tests.web.gateways import Api, gateway_of

pytestmark = pytest.mark.anyio


async def test_every_mapping_is_listed_and_can_be_looked_up(small_api: Api) -> None:
    listed = (await small_api.get("/api/mappings")).json()["data"]
    assert [mapping["provider"] for mapping in listed] == gateway_of(small_api).catalog.names()
    for mapping in listed:
        assert (await small_api.get(f"/api/mappings/{mapping['provider']}")).json() == mapping


async def test_a_mapping_says_which_secrets_a_source_needs(small_api: Api) -> None:
    resend = (await small_api.get("/api/mappings/resend")).json()
    assert {"name": "signing_secret", "required": True} in resend["secrets"]
    assert resend["title"] == "Resend"
    assert resend["native_types"]
    assert all(page.startswith("https://") for page in resend["documentation"])
    assert "Signing Secret" in resend["console"][-1]


async def test_an_unknown_mapping_is_answered_404(small_api: Api) -> None:
    assert (await small_api.get("/api/mappings/resned")).status_code == 404


async def test_every_event_type_has_a_schema_that_its_example_fits(small_api: Api) -> None:
    listed = (await small_api.get("/api/event-types")).json()["data"]
    assert [event_type["type"] for event_type in listed] == list(EVENT_TYPES)
    for event_type in listed:
        assert event_type["meaning"] == EVENT_TYPES[event_type["type"]]
        validator = Draft202012Validator(event_type["schema"])
        validator.validate(event_type["example"])
        assert not validator.is_valid(event_type["example"] | {"type": "email.other"})
        assert msgspec.convert(event_type["example"], shape_of(event_type["type"])).type == event_type["type"]
