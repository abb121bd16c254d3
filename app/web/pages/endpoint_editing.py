"""Forms of an endpoint: adding and changing one, trying what it makes of events, and giving it a new secret."""

from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Template
from msgspec import UNSET, Meta

from adapters.events import EVENT_TYPES
from app.shaping import ShapedEvent
from app.web import endpoint_changes
from app.web.endpoint_answers import found_endpoint
from app.web.endpoint_shapes import Endpoint, compiled
from app.web.pages.endpoint_forms import EndpointForm, changed_endpoint, errors_by_field, form_of, new_endpoint
from app.web.pages.forms import read_form
from app.web.pages.rendering import page, redirect
from app.web.pages.standings import endpoint_name
from app.web.pages.wire_texts import laid_out
from app.web.problems import AnyRequest, Problem
from app.web.rotation import DAY_S, OVERLAP_S_MAX, Rotation, give_secret
from app.web.shaping_trials import recent, try_on_events

NEW = "/endpoints/new"
OVERLAPS = [(0, "At once"), (3_600, "After an hour"), (DAY_S, "After a day"), (7 * DAY_S, "After a week")]


class RotationForm(msgspec.Struct):
    """A secret of one's own, and when the present one ends."""

    secret: str = ""
    overlap_s: Annotated[int, Meta(ge=0, le=OVERLAP_S_MAX)] = DAY_S


class TriedEvent(msgspec.Struct):
    """What would become of one event, with the body laid out."""

    event: ShapedEvent
    body: str


@get(NEW)
async def show_new_endpoint(request: AnyRequest) -> Template:
    """The form that adds one."""
    return _form_page(request, EndpointForm(), path=NEW)


@post(NEW)
async def add_endpoint(request: AnyRequest) -> Response[Any]:
    """A new endpoint and its secret, or the form with what is wrong beside the fields."""
    form = await read_form(request, EndpointForm)
    try:
        made = await endpoint_changes.add(request, new_endpoint(form))
    except Problem as problem:
        return _refused(request, form, problem, path=NEW)
    return _secret_page(request, made, "The endpoint is added", status=201)


@post(f"{NEW}/try")
async def try_new_endpoint(request: AnyRequest) -> Template:
    """The form, with what its filter and transform make of the last events."""
    return await _trial_page(request, await read_form(request, EndpointForm), path=NEW)


@get("/endpoints/{endpoint_id:int}/change")
async def show_change(request: AnyRequest, endpoint_id: FromPath[int]) -> Template:
    """The form, filled in."""
    present = await found_endpoint(request, endpoint_id)
    return _form_page(request, form_of(present), path=_change_path(endpoint_id), present=present)


@post("/endpoints/{endpoint_id:int}/change")
async def change_endpoint(request: AnyRequest, endpoint_id: FromPath[int]) -> Response[Any]:
    """The endpoint as the form says, or the form with what is wrong beside the fields."""
    form, present = await read_form(request, EndpointForm), await found_endpoint(request, endpoint_id)
    try:
        changed = await endpoint_changes.change(request, endpoint_id, changed_endpoint(form))
    except Problem as problem:
        return _refused(request, form, problem, path=_change_path(endpoint_id), present=present)
    if changed.signature != present.signature:
        return _secret_page(request, changed, "The endpoint signs anew")
    return redirect(request, f"/endpoints/{endpoint_id}", "The endpoint is changed.")


@post("/endpoints/{endpoint_id:int}/change/try")
async def try_change(request: AnyRequest, endpoint_id: FromPath[int]) -> Template:
    """The form, with what its filter and transform make of the last events."""
    present = await found_endpoint(request, endpoint_id)
    form = await read_form(request, EndpointForm)
    return await _trial_page(request, form, path=_change_path(endpoint_id), present=present)


@get("/endpoints/{endpoint_id:int}/rotate")
async def show_rotation(request: AnyRequest, endpoint_id: FromPath[int]) -> Template:
    """The form that gives it a new secret."""
    return _rotation_page(request, await found_endpoint(request, endpoint_id))


@post("/endpoints/{endpoint_id:int}/rotate")
async def rotate_secret(request: AnyRequest, endpoint_id: FromPath[int]) -> Template:
    """The new secret, shown once."""
    form, present = await read_form(request, RotationForm), await found_endpoint(request, endpoint_id)
    wanted = Rotation(secret=form.secret.strip() or UNSET, overlap_s=form.overlap_s)
    try:
        rotated = await give_secret(request, endpoint_id, wanted)
    except Problem as problem:
        return _rotation_page(request, present, errors=errors_by_field(problem), status=problem.status)
    return _secret_page(request, rotated, "The endpoint has a new secret")


ENDPOINT_EDITING = [
    show_new_endpoint,
    add_endpoint,
    try_new_endpoint,
    show_change,
    change_endpoint,
    try_change,
    show_rotation,
    rotate_secret,
]


def _change_path(endpoint_id: int) -> str:
    return f"/endpoints/{endpoint_id}/change"


def _name(endpoint: Any) -> str:
    return endpoint_name(endpoint.id, endpoint.url, endpoint.description)


def _form_page(
    request: AnyRequest,
    form: EndpointForm,
    *,
    path: str,
    present: Any = None,
    errors: dict[str, str] | None = None,
    status: int = 200,
    **trial: Any,
) -> Template:
    shown: dict[str, Any] = {"tried": None, "matched": 0, **trial}
    return page(
        request,
        "endpoint_form.html",
        status=status,
        form=form,
        path=path,
        present=present,
        name=_name(present) if present else "",
        errors=errors or {},
        types=list(EVENT_TYPES),
        **shown,
    )


def _refused(request: AnyRequest, form: EndpointForm, problem: Problem, **which: Any) -> Template:
    if problem.status != 422:
        raise problem
    return _form_page(request, form, errors=errors_by_field(problem), status=422, **which)


async def _trial_page(request: AnyRequest, form: EndpointForm, **which: Any) -> Template:
    try:
        filter_ = compiled("filter", form.filter.strip() or None)
        transform = compiled("transform", form.transform.strip() or None)
    except Problem as problem:
        return _refused(request, form, problem, **which)
    found = await try_on_events(request, await recent(request, form.events), filter_, transform)
    tried = [TriedEvent(event, _body_of(event)) for event in found.events]
    return _form_page(request, form, tried=tried, matched=found.matched, **which)


def _body_of(event: ShapedEvent) -> str:
    return laid_out(bytes(event.result).decode()) if event.result else ""


def _rotation_page(
    request: AnyRequest, endpoint: Any, *, errors: dict[str, str] | None = None, status: int = 200
) -> Template:
    return page(
        request,
        "endpoint_rotate.html",
        status=status,
        endpoint=endpoint,
        name=_name(endpoint),
        overlaps=OVERLAPS,
        chosen=DAY_S,
        errors=errors or {},
    )


def _secret_page(request: AnyRequest, endpoint: Endpoint, title: str, *, status: int = 200) -> Template:
    return page(request, "endpoint_secret.html", status=status, endpoint=endpoint, title=title, name=_name(endpoint))
