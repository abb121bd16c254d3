"""The rules that watch sources and endpoints: `/api/alerts`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from litestar import Router, delete, get, patch, post
from litestar.params import FromPath
from msgspec import UNSET, Meta, UnsetType

from app.settings import MAIL_ADDRESS
from app.store import alerts, sources
from app.store.alerts import FIRING, OK, Firing, NewAlert
from app.store.endpoints import get_endpoint
from app.store.rollups import SOURCE
from app.store.views import shown
from app.watching import KINDS, Limits, rule_sentence
from app.web.context import ApiRequest, EndpointNumber, gateway_of, known_number, principal_of
from app.web.input import read_body
from app.web.problems import FieldError, invalid, not_found
from app.web.sources import NAME

WINDOW_S_MAX = 86_400
MAIL_TO_MAX = 20

KindName = Literal[
    "failure_rate", "backlog_age", "bounce_rate", "complaint_rate", "rejected", "quarantined", "source_silent"
]
Name = Annotated[str, Meta(min_length=1, max_length=100, description="For people.")]
Threshold = Annotated[
    float, Meta(gt=0, le=1_000_000, description="A part of 1, a number, seconds or a factor: what the kind compares.")
]
Window = Annotated[int, Meta(ge=60, le=WINDOW_S_MAX, description="Over how long it counts, in seconds.")]
MinCount = Annotated[int, Meta(ge=1, le=1_000_000, description="Fewer attempts or messages tell nothing.")]
MailTo = Annotated[
    list[Annotated[str, Meta(max_length=254)]] | None,
    Meta(description="Who gets a mail; null: those in the settings, []: nobody."),
]


class AlertNew(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A rule. Numbers that are not given are those of the kind."""

    kind: KindName
    name: Name
    source: Annotated[str, Meta(max_length=100, description="The one source it is about; else each.")] | UnsetType = (
        UNSET
    )
    endpoint_id: EndpointNumber | UnsetType = UNSET
    threshold: Threshold | UnsetType = UNSET
    window_s: Window | UnsetType = UNSET
    min_count: MinCount | UnsetType = UNSET
    mail_to: MailTo = None
    active: bool = True


class AlertChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What may be changed; an absent field stays as it is."""

    name: Name | UnsetType = UNSET
    threshold: Threshold | UnsetType = UNSET
    window_s: Window | UnsetType = UNSET
    min_count: MinCount | UnsetType = UNSET
    mail_to: MailTo | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class FiringNow(msgspec.Struct, frozen=True):
    """A source or endpoint for which the rule fires; the other of the two is None."""

    source: str | None
    endpoint_id: int | None
    since: str
    value: float | None
    summary: str


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A rule, and what fires under it."""

    id: int
    name: str
    kind: str
    rule: str
    """In a sentence."""
    source: str | None
    """None: each source by itself, where the kind is about sources."""
    endpoint_id: int | None
    """None: each endpoint by itself, where the kind is about endpoints."""
    threshold: float
    window_s: int
    min_count: int
    mail_to: Sequence[str] | None
    active: bool
    state: Literal["ok", "firing"]
    firing: list[FiringNow]
    created_at: str
    updated_at: str


class AlertList(msgspec.Struct):
    """Every rule of the environment."""

    data: list[Alert]


@get("/", operation_id="listAlerts")
async def list_alerts(request: ApiRequest) -> AlertList:
    """List the alert rules and what fires."""
    return AlertList(await all_alerts(request))


@post("/", operation_id="createAlert", opt={"body": AlertNew, "fails": [409]})
async def create_alert(request: ApiRequest) -> Alert:
    """Add a rule."""
    return await add_alert(request, await read_body(request, AlertNew))


@get("/{alert_id:int}", operation_id="getAlert")
async def get_alert(request: ApiRequest, alert_id: FromPath[int]) -> Alert:
    """Show one rule and what fires under it."""
    return await one_alert(request, alert_id)


@patch("/{alert_id:int}", operation_id="changeAlert", opt={"body": AlertChange})
async def patch_alert(request: ApiRequest, alert_id: FromPath[int]) -> Alert:
    """Change a rule. What fires stays until it is judged anew; a rule that is not active any more fires for nobody."""
    return await change_alert(request, alert_id, await read_body(request, AlertChange))


@delete("/{alert_id:int}", operation_id="deleteAlert")
async def delete_alert(request: ApiRequest, alert_id: FromPath[int]) -> None:
    """Take a rule away; what fires under it is told no more."""
    await remove_alert(request, alert_id)


ALERTS = Router(
    "/alerts", route_handlers=[list_alerts, create_alert, get_alert, patch_alert, delete_alert], tags=["Alerts"]
)


async def all_alerts(request: ApiRequest) -> list[Alert]:
    """The rules of the caller's environment, with what fires."""
    engine, environment_id = gateway_of(request).engine, principal_of(request).environment_id
    firing = await alerts.read_firing(engine, environment_id)
    return [_shown(request, alert, firing) for alert in await alerts.list_alerts(engine, environment_id)]


async def one_alert(request: ApiRequest, alert_id: int) -> Alert:
    """A rule, with what fires. Raises Problem 404."""
    return await _with_state(request, await _found(request, alert_id))


async def add_alert(request: ApiRequest, wanted: AlertNew) -> Alert:
    """The new rule. Raises Problem 422, AlertsFull."""
    gateway, environment_id = gateway_of(request), principal_of(request).environment_id
    kind = KINDS[wanted.kind]
    about = await _about(request, wanted)
    _check(request, wanted.kind, wanted)
    new = NewAlert(
        name=wanted.name,
        kind=wanted.kind,
        threshold=kind.limits.threshold if wanted.threshold is UNSET else wanted.threshold,
        window_s=kind.limits.window_s if wanted.window_s is UNSET else wanted.window_s,
        min_count=kind.limits.min_count if wanted.min_count is UNSET else wanted.min_count,
        mail_to=wanted.mail_to,
        active=wanted.active,
        **about,
    )
    return _shown(request, await alerts.create_alert(gateway.engine, environment_id, new, gateway.clock.now()), {})


async def change_alert(request: ApiRequest, alert_id: int, wanted: AlertChange) -> Alert:
    """The rule as it is then. Raises Problem 404, 422."""
    gateway, present = gateway_of(request), await _found(request, alert_id)
    _check(request, present.kind, wanted)
    changes = {name: value for name, value in msgspec.structs.asdict(wanted).items() if value is not UNSET}
    environment_id, now = principal_of(request).environment_id, gateway.clock.now()
    changed = await alerts.change_alert(gateway.engine, environment_id, present.id, changes, now)
    if changed is None:
        raise not_found("alert", alert_id)
    return await _with_state(request, changed)


async def remove_alert(request: ApiRequest, alert_id: int) -> None:
    """Takes the rule away. Raises Problem 404."""
    number = known_number(alert_id, "alert")
    if not await alerts.delete_alert(gateway_of(request).engine, principal_of(request).environment_id, number):
        raise not_found("alert", alert_id)


async def _found(request: ApiRequest, alert_id: int) -> alerts.Alert:
    number = known_number(alert_id, "alert")
    found = await alerts.get_alert(gateway_of(request).engine, principal_of(request).environment_id, number)
    if found is None:
        raise not_found("alert", alert_id)
    return found


async def _about(request: ApiRequest, wanted: AlertNew) -> Mapping[str, Any]:
    """The one source or endpoint that the rule names. Raises Problem 422 when there is none, or it is the wrong one."""
    engine, environment_id = gateway_of(request).engine, principal_of(request).environment_id
    of_sources = KINDS[wanted.kind].of == SOURCE
    if of_sources and wanted.endpoint_id is not UNSET:
        raise invalid([FieldError("endpoint_id", f"{wanted.kind} is about sources; name a source, or leave it out.")])
    if not of_sources and wanted.source is not UNSET:
        raise invalid(
            [FieldError("source", f"{wanted.kind} is about endpoints; name an endpoint_id, or leave it out.")]
        )
    if wanted.source is not UNSET:
        known = NAME.fullmatch(wanted.source)
        number = await sources.source_number(engine, environment_id, wanted.source) if known else None
        if number is None:
            raise invalid([FieldError("source", "there is no such source; GET /api/sources lists them.")])
        return {"source_id": number}
    if wanted.endpoint_id is not UNSET:
        if await get_endpoint(engine, environment_id, wanted.endpoint_id) is None:
            raise invalid([FieldError("endpoint_id", "there is no such endpoint.")])
        return {"endpoint_id": wanted.endpoint_id}
    return {}


def _check(request: ApiRequest, kind: str, wanted: AlertNew | AlertChange) -> None:
    """What types do not tell. Raises Problem 422."""
    errors: list[FieldError] = []
    largest = KINDS[kind].threshold_max
    if wanted.threshold is not UNSET and wanted.threshold > largest:
        errors.append(FieldError("threshold", f"may be {largest:g} at most for {kind}."))
    if wanted.name is not UNSET and not wanted.name.isprintable():
        errors.append(FieldError("name", "may hold no line breaks or control characters."))
    if wanted.mail_to:
        errors += _mail_errors(request, wanted.mail_to)
    if errors:
        raise invalid(errors)


def _mail_errors(request: ApiRequest, mail_to: Sequence[str]) -> list[FieldError]:
    errors = [
        FieldError("mail_to", f'"{address}" is not a mail address.')
        for address in mail_to
        if not MAIL_ADDRESS.fullmatch(address)
    ]
    if len(mail_to) > MAIL_TO_MAX:
        errors.append(FieldError("mail_to", f"holds {len(mail_to)} addresses; {MAIL_TO_MAX} are allowed."))
    if not gateway_of(request).settings.smtp_url:
        errors.append(FieldError("mail_to", "no mail can be sent: the operator has to set MAILWEIR_SMTP_URL first."))
    return errors


async def _with_state(request: ApiRequest, alert: alerts.Alert) -> Alert:
    engine, environment_id = gateway_of(request).engine, principal_of(request).environment_id
    return _shown(request, alert, await alerts.read_firing(engine, environment_id))


def _shown(request: ApiRequest, alert: alerts.Alert, firing: Firing) -> Alert:
    names = {source.id: source.name for source in gateway_of(request).registry.sources()}
    of_sources = KINDS[alert.kind].of == SOURCE
    now = [
        FiringNow(
            source=names.get(subject_id) if of_sources else None,
            endpoint_id=None if of_sources else subject_id,
            since=shown(state.since),
            value=state.value,
            summary=state.summary,
        )
        for (alert_id, subject_id), state in firing.items()
        if alert_id == alert.id
    ]
    return Alert(
        id=alert.id,
        name=alert.name,
        kind=alert.kind,
        rule=rule_sentence(alert.kind, Limits(alert.threshold, alert.window_s, alert.min_count), _whom(alert)),
        source=alert.source,
        endpoint_id=alert.endpoint_id,
        threshold=alert.threshold,
        window_s=alert.window_s,
        min_count=alert.min_count,
        mail_to=alert.mail_to,
        active=alert.active,
        state=FIRING if now else OK,
        firing=now,
        created_at=shown(alert.created_at),
        updated_at=shown(alert.updated_at),
    )


def _whom(alert: alerts.Alert) -> str:
    if KINDS[alert.kind].of == SOURCE:
        return alert.source or "a source"
    return f"endpoint {alert.endpoint_id}" if alert.endpoint_id else "an endpoint"
