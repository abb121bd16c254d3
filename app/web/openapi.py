"""`/openapi.json`: the routes and their shapes as an OpenAPI 3.1 document.

It is written from the routes themselves: path parameters from the path, answer from the handler's signature, body and
query from its options (`opt={"body": EndpointNew, "query": EventFilters, "fails": [409]}`), words from docstrings, and
schemas from msgspec, so that what is documented is what is checked.
"""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Litestar, get
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from app import __version__
from app.web.auth import ROLE_OPTION
from app.web.context import NUMBER_MAX
from app.web.inbound import PATH as INBOUND_PATH
from app.web.problems import MEDIA_TYPE as PROBLEM
from app.web.problems import AnyRequest, ProblemDetails
from app.web.sources import NAME

_INTRODUCTION = (
    "Mailweir joins the webhooks of every email provider into one signed, unified stream. Everything but the inbound "
    "routes needs an API key. Errors are RFC 9457 problem details."
)
JSON = "application/json"
API = "/api/"
_REFERENCE = "#/components/schemas/{name}"
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Within 24 hours the same key and body get the first answer again; nothing is done twice.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_IN_BRACES = re.compile(r"\{(\w+)\}")
_NUMBER = {"type": "integer", "minimum": 1, "maximum": NUMBER_MAX}
_PATH_SCHEMAS: dict[str, dict[str, Any]] = {
    "endpoint_id": _NUMBER,
    "key_id": _NUMBER,
    "alert_id": _NUMBER,
    "event_id": {"type": "string", "pattern": "^evt_[0-9A-HJKMNP-TV-Z]{15}$"},
    "delivery_id": {"type": "string", "pattern": "^dlv_[0-9A-HJKMNP-TV-Z]{15}$"},
    "receipt_id": {"type": "string", "pattern": "^rcp_[0-9A-HJKMNP-TV-Z]{15}$"},
    "job_id": {"type": "string", "pattern": "^job_[0-9A-HJKMNP-TV-Z]{15}$"},
    "name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
    "provider": {"type": "string", "minLength": 1},
    "email_id": {"type": "string", "minLength": 1},
    "address": {"type": "string", "minLength": 1},
}
"""What the parameters in paths look like, by their names."""


@get("/openapi.json", include_in_schema=False, sync_to_thread=False)
def openapi_json(request: AnyRequest) -> dict[str, Any]:
    """This API as an OpenAPI document."""
    return document_of(request.app)


def document_of(app: Litestar) -> dict[str, Any]:
    """The application's document, written once."""
    if "openapi" not in app.state:
        app.state.openapi = describe(app)
    return app.state.openapi


def describe(app: Litestar) -> dict[str, Any]:
    """The document for all routes of `app` that are in the schema."""
    operations = list(_operations(app))
    shapes = [ProblemDetails, *(shape for _, _, handler in operations for shape in _shapes(handler))]
    _, components = msgspec.json.schema_components(shapes, ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for path, method, handler in operations:
        paths.setdefault(path, {})[method.lower()] = _operation(path, method, handler, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Mailweir", "version": __version__, "description": _INTRODUCTION},
        "servers": [{"url": "/"}],
        "security": [],
        "paths": paths | _inbound(),
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "An API key, mw_live_…"}},
        },
    }


def _operations(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in sorted(app.routes, key=lambda route: route.path):
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            if handler.resolve_include_in_schema():
                for method in sorted(handler.http_methods):
                    yield route.path_format, method, handler


def _shapes(handler: HTTPRouteHandler) -> Iterator[Any]:
    for shape in (handler.opt.get("body"), handler.opt.get("query"), _answer_shape(handler)):
        if shape is not None:
            yield shape


def _answer_shape(handler: HTTPRouteHandler) -> Any:
    """The struct that the handler returns; None for no body and for bodies that are not JSON."""
    annotation = handler.parsed_fn_signature.return_type.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct) else None


def _operation(path: str, method: str, handler: HTTPRouteHandler, components: Mapping[str, Any]) -> dict[str, Any]:
    summary, _, description = (inspect.getdoc(handler.fn) or "").partition("\n")
    parameters = [*_path_parameters(path), *_query_parameters(handler, components)]
    operation: dict[str, Any] = {
        "operationId": handler.operation_id,
        "summary": summary,
        "tags": list(handler.resolve_tags() if hasattr(handler, "resolve_tags") else handler.tags or ()),
        "responses": {str(handler.status_code): _answer(handler)} | _failures(path, method, handler),
    }
    if description.strip():
        operation["description"] = description.strip()
    if path.startswith(API):
        operation["security"] = [{"bearer": []}]
        if method == "POST":
            parameters.append(_IDEMPOTENCY_KEY)
    if parameters:
        operation["parameters"] = parameters
    if body := handler.opt.get("body"):
        content = {JSON: {"schema": _reference(body)}}
        operation["requestBody"] = {"required": bool(components[body.__name__].get("required")), "content": content}
    return operation


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for name in _IN_BRACES.findall(path):
        yield {"name": name, "in": "path", "required": True, "schema": _PATH_SCHEMAS[name]}


def _query_parameters(handler: HTTPRouteHandler, components: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    query = handler.opt.get("query")
    properties: dict[str, Any] = components[query.__name__]["properties"] if query else {}
    for name, schema in properties.items():
        described = {"description": schema["description"]} if "description" in schema else {}
        yield {"name": name, "in": "query", "required": False, "schema": _without_null(schema), **described}


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A query has no null: an absent parameter is one that was not given."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default", "description")}
    if "enum" in rest:
        rest["enum"] = [value for value in rest["enum"] if value is not None]
    return rest | (choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {})


def _answer(handler: HTTPRouteHandler) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(handler.status_code).phrase}
    if shape := _answer_shape(handler):
        answer["content"] = {JSON: {"schema": _reference(shape)}}
    elif handler.status_code != HTTPStatus.NO_CONTENT:
        answer["content"] = {str(handler.media_type): {"schema": {"type": "string"}}}
    return answer


def _failures(path: str, method: str, handler: HTTPRouteHandler) -> dict[str, Any]:
    statuses = set[int](handler.opt.get("fails", ()))
    if path.startswith(API):
        statuses |= {401, 503}
        if method != "GET" or handler.opt.get(ROLE_OPTION):
            statuses.add(403)
        if method == "POST":
            statuses |= {409, 413, 422}
    if "{" in path:
        statuses.add(404)
    if handler.opt.get("body"):
        statuses |= {400, 413, 422}
    if handler.opt.get("query"):
        statuses.add(422)
    return _problems(sorted(statuses))


def _problems(statuses: Sequence[int]) -> dict[str, Any]:
    content = {PROBLEM: {"schema": _reference(ProblemDetails)}}
    return {str(status): {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def _reference(shape: Any) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(name=shape.__name__)}


def _inbound() -> dict[str, Any]:
    """The provider's routes, which are no routes of the framework."""
    schema = {"type": "string", "minLength": 1}
    by_name_only = {"parameters": [{"name": "source", "in": "path", "required": True, "schema": schema}]}
    by_shape, by_name = "the source is found by its shape and signature", "for one source"
    return {
        INBOUND_PATH: {
            "post": _receive("receiveWebhook", f"Take a provider's native request; {by_shape}."),
            "get": _handshake("answerHandshake", f"Answer a provider that asks before it posts; {by_shape}."),
        },
        f"{INBOUND_PATH}/{{source}}": {
            "post": _receive("receiveWebhookOfSource", f"Take a provider's native request {by_name}.") | by_name_only,
            "get": _handshake("answerHandshakeOfSource", f"Answer a provider that asks before it posts, {by_name}.")
            | by_name_only,
        },
    }


def _receive(operation_id: str, summary: str) -> dict[str, Any]:
    received = {"type": "object", "properties": {"received": {"const": True}}, "required": ["received"]}
    return {
        "operationId": operation_id,
        "summary": summary,
        "tags": ["Inbound"],
        "requestBody": {"required": True, "content": {"*/*": {"schema": {}}}},
        "responses": {"200": {"description": "Kept durably", "content": {JSON: {"schema": received}}}}
        | _problems([401, 404, 406, 413, 429, 503]),
    }


def _handshake(operation_id: str, summary: str) -> dict[str, Any]:
    return {
        "operationId": operation_id,
        "summary": summary,
        "tags": ["Inbound"],
        "responses": {"200": {"description": "What the provider expects"}} | _problems([401, 404, 405, 406, 429, 503]),
    }
