"""The rules that watch: the list in sentences with what fires, and the forms that make, change and remove one."""

from collections.abc import Mapping, Sequence

from litestar import get, post
from litestar.params import FromPath
from litestar.response import Redirect, Template

from app.store.alerts import FIRING
from app.store.endpoints import list_endpoints
from app.store.errors import AlertsFull
from app.store.rollups import SOURCE
from app.watching import KINDS
from app.web.alerts import Alert, AlertChange, AlertNew, add_alert, all_alerts, change_alert, one_alert, remove_alert
from app.web.context import gateway_of, principal_of
from app.web.input import fit
from app.web.pages.alert_forms import KIND_FORMS, about, begun, examples, filled, in_words_of_the_form, wanted
from app.web.pages.forms import read_fields
from app.web.pages.rendering import page, redirect
from app.web.pages.standings import endpoint_name
from app.web.problems import AnyRequest, FieldError, Problem


@get("/alerts")
async def show_alerts(request: AnyRequest) -> Template:
    """Every rule; what fires first."""
    found = sorted(await all_alerts(request), key=lambda alert: (alert.state != FIRING, not alert.active))
    firing = sum(alert.state == FIRING for alert in found)
    return page(request, "alerts.html", alerts=found, firing=firing)


@get("/alerts/new")
async def show_new_alert(request: AnyRequest) -> Template:
    """The kinds there are; of one that was chosen, its form."""
    kind = request.query_params.get("kind", "")
    if kind not in KIND_FORMS:
        return page(request, "alert_kinds.html", kinds=examples())
    return await _form(request, kind, begun(kind))


@post("/alerts/new")
async def make_alert(request: AnyRequest) -> Template | Redirect:
    """The rule, or the form again with what is wrong beside each field."""
    fields = await read_fields(request)
    kind = fields.get("kind", "")
    if kind not in KIND_FORMS:
        return page(request, "alert_kinds.html", status=422, kinds=examples())
    try:
        new = fit({"kind": kind, **about(kind, fields), **wanted(kind, fields)}, AlertNew)
        made = await add_alert(request, new)
    except AlertsFull as full:
        return await _form(request, kind, fields, errors=[FieldError("name", str(full))])
    except Problem as problem:
        return await _form(request, kind, fields, errors=_beside_fields(problem))
    return redirect(request, "/alerts", f"The rule “{made.name}” watches from now on.")


@get("/alerts/{alert_id:int}")
async def show_alert(request: AnyRequest, alert_id: FromPath[int]) -> Template:
    """One rule, and its form."""
    found = await one_alert(request, alert_id)
    return await _form(request, found.kind, filled(found), found)


@post("/alerts/{alert_id:int}")
async def save_alert(request: AnyRequest, alert_id: FromPath[int]) -> Template | Redirect:
    """The rule with other values, or the form again with what is wrong beside each field."""
    found, fields = await one_alert(request, alert_id), await read_fields(request)
    try:
        await change_alert(request, found.id, fit(wanted(found.kind, fields), AlertChange))
    except Problem as problem:
        return await _form(request, found.kind, fields, found, _beside_fields(problem))
    return redirect(request, "/alerts", "The rule is changed.")


@post("/alerts/{alert_id:int}/delete")
async def delete_alert(request: AnyRequest, alert_id: FromPath[int]) -> Redirect:
    """The list without it."""
    found = await one_alert(request, alert_id)
    await remove_alert(request, found.id)
    return redirect(request, "/alerts", f"The rule “{found.name}” is gone.")


ALERT_PAGES = [show_alerts, show_new_alert, make_alert, show_alert, save_alert, delete_alert]


async def _form(
    request: AnyRequest,
    kind: str,
    fields: Mapping[str, str],
    alert: Alert | None = None,
    errors: Sequence[FieldError] = (),
) -> Template:
    gateway, environment_id = gateway_of(request), principal_of(request).environment_id
    of_sources = KINDS[kind].of == SOURCE
    names = sorted(source.name for source in gateway.registry.sources() if source.environment_id == environment_id)
    endpoints = await list_endpoints(gateway.engine, environment_id)
    return page(
        request,
        "alert.html",
        status=422 if errors else 200,
        kind=kind,
        form=KIND_FORMS[kind],
        fields=fields,
        alert=alert,
        of_sources=of_sources,
        sources=names,
        endpoints=[
            (endpoint.id, endpoint_name(endpoint.id, endpoint.url, endpoint.description)) for endpoint in endpoints
        ],
        mails=bool(gateway.settings.smtp_url),
        wrong=dict(in_words_of_the_form(kind, error) for error in errors),
    )


def _beside_fields(problem: Problem) -> Sequence[FieldError]:
    """What is wrong with the fields. Raises the problem where it is another."""
    if not problem.errors:
        raise problem
    return problem.errors
