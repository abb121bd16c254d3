"""What the routes of an endpoint share: finding it, and showing it."""

from itertools import zip_longest
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from adapters.events import iso_millis
from app.signer import generate_key_pair, generate_secret, public_key_of
from app.store import endpoints
from app.store.endpoints import PAUSED, OldSecret
from app.store.health import Health, health_of
from app.store.views import shown
from app.vault import VaultError
from app.web.context import ApiRequest, gateway_of, known_number, principal_of
from app.web.endpoint_shapes import Endpoint, State
from app.web.problems import Problem, not_found


def new_secret(kind: str, given: str | UnsetType) -> str:
    """The secret that was given, or a new one of the endpoint's kind."""
    if kind == "ed25519":
        return generate_key_pair()[0]
    return generate_secret() if given is UNSET else given


async def found_endpoint(request: ApiRequest, endpoint_id: int) -> endpoints.Endpoint:
    """The endpoint of that number. Raises Problem 404 when the caller's environment has none."""
    number = known_number(endpoint_id, "endpoint")
    found = await endpoints.get_endpoint(gateway_of(request).engine, principal_of(request).environment_id, number)
    return still_there(found, endpoint_id)


def still_there(found: endpoints.Endpoint | None, endpoint_id: int) -> endpoints.Endpoint:
    """What was found. Raises Problem 404 when that is nothing."""
    if found is None:
        raise not_found("endpoint", endpoint_id)
    return found


def check_active(endpoint: endpoints.Endpoint) -> None:
    """Raises Problem 409 for an endpoint that nothing is sent to."""
    if not endpoint.active:
        raise Problem(409, f"Endpoint {endpoint.id} is not active ({endpoint.disabled_reason}); enable it first.")


async def shown_endpoint(
    request: ApiRequest,
    endpoint: endpoints.Endpoint,
    secret: str | None = None,
    headers: dict[str, str] | UnsetType = UNSET,
) -> Endpoint:
    """The answer, with the secret and the headers that were just set.

    A private key is not shown even when it was just made, because only the gateway signs with it.
    """
    has_keys = endpoint.signature == "ed25519"
    public_keys = await _public_keys(request, endpoint) if has_keys else []
    fields: dict[str, Any] = {name: getattr(endpoint, name) for name in endpoint.__struct_fields__}
    if headers is not UNSET:
        fields["headers"] = headers
    fields["old_secrets"] = _old_secrets(endpoint, public_keys[1:], shown(gateway_of(request).clock.now()))
    return Endpoint(
        **fields,
        **_health(endpoint, await health_of(gateway_of(request).engine, endpoint.id)),
        public_key=public_keys[0] if public_keys else None,
        secret=secret if secret and not has_keys else UNSET,
    )


def _health(endpoint: endpoints.Endpoint, health: Health) -> dict[str, Any]:
    return {
        "state": state_of(endpoint, health),
        "failures": health.failures,
        "failing_since": _shown_ms(health.failing_since),
        "resumes_at": _shown_ms(health.resume_at) if endpoint.active else None,
        "last_error": health.reason if health.failures else None,
    }


def state_of(endpoint: endpoints.Endpoint, health: Health) -> State:
    """How it stands: sent to, probed, or inactive for the one reason or the other."""
    if endpoint.active:
        return "failing" if health.failing else "healthy"
    return "paused" if endpoint.disabled_reason == PAUSED else "disabled"


def _shown_ms(unix_ms: int | None) -> str | None:
    return None if unix_ms is None else iso_millis(unix_ms)


def _old_secrets(endpoint: endpoints.Endpoint, public_keys: list[str], now: str) -> list[OldSecret]:
    """Those that sign still."""
    paired = zip_longest(endpoint.old_secrets, public_keys[: len(endpoint.old_secrets)])
    return [msgspec.structs.replace(old, public_key=key) for old, key in paired if old.ends_at > now]


async def _public_keys(request: ApiRequest, endpoint: endpoints.Endpoint) -> list[str]:
    """Newest first; none while the secrets cannot be opened."""
    gateway = gateway_of(request)
    environment_id = principal_of(request).environment_id
    try:
        secrets = await endpoints.endpoint_secrets(gateway.engine, gateway.vault, environment_id, endpoint.id)
    except VaultError:  # the registry has told the operator
        return []
    return [public_key_of(secret) for secret in secrets or ()]
