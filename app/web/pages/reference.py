"""The API reference, made from the same document as /openapi.json; it needs nobody else's scripts and no network."""

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, cast

from litestar import get
from litestar.params import FromPath
from litestar.response import Template

from app.web.context import gateway_of
from app.web.openapi import document_of
from app.web.pages.entrance import OPEN
from app.web.pages.rendering import page
from app.web.problems import AnyRequest, not_found

_PREFIX = "#/components/schemas/"
_PROBLEM = "ProblemDetails"
_BOUNDS = {"minimum": "≥ {}", "maximum": "≤ {}", "minLength": "{}+ characters", "maxLength": "≤ {} characters"}


class Field(NamedTuple):
    """A parameter, or a member of a JSON object."""

    name: str
    type: str
    shape: str | None
    """The name of the object that it is, or holds."""
    required: bool
    meaning: str
    place: str = ""
    """path, query or header; empty for a member."""


class Operation(NamedTuple):
    """What one method of one path does."""

    method: str
    path: str
    anchor: str
    summary: str
    is_open: bool
    parameters: list[Field]
    takes: str | None
    """The name of the body's shape."""
    succeeds: list[tuple[str, str | None]]
    """Status with its words, and the name of the answer's shape."""
    fails: list[str]
    curl: str


class Shape(NamedTuple):
    """A JSON object that a body or an answer is made of."""

    name: str
    meaning: str
    fields: list[Field]


class Group(NamedTuple):
    """The operations on one kind of thing."""

    name: str
    path: str
    operations: list[Operation]
    shapes: list[Shape]


def groups_of(document: Mapping[str, Any], base_url: str) -> list[Group]:
    """The reference by subject, in the document's order."""
    found: dict[str, list[tuple[Operation, dict[str, Any]]]] = {}
    schemas: dict[str, Any] = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            operation = _operation(path, method, described, schemas, base_url)
            found.setdefault(described.get("tags", ["More"])[0], []).append((operation, described))
    return [
        Group(
            name,
            "/docs/" + name.lower().replace(" ", "-"),
            [operation for operation, _ in operations],
            _shapes([described for _, described in operations], schemas),
        )
        for name, operations in found.items()
    ]


def _operation(
    path: str, method: str, described: dict[str, Any], schemas: Mapping[str, Any], base_url: str
) -> Operation:
    answers: dict[str, Any] = described["responses"]
    body = _schema_in(described.get("requestBody", {}))
    return Operation(
        method.upper(),
        path,
        described["operationId"],
        described.get("summary", ""),
        not described.get("security", True),
        [_parameter(parameter) for parameter in described.get("parameters", [])],
        _shape_name(body),
        [(_status(code), _shape_name(_schema_in(answer))) for code, answer in answers.items() if code < "400"],
        [_status(code) for code in answers if code >= "400"],
        _curl(path, method.upper(), described, body, schemas, base_url),
    )


def _parameter(parameter: dict[str, Any]) -> Field:
    schema: dict[str, Any] = parameter.get("schema", {})
    meaning = parameter.get("description") or schema.get("description", "")
    return Field(
        parameter["name"],
        words_of(schema),
        None,
        bool(parameter.get("required")),
        meaning,
        parameter["in"],
    )


def _schema_in(part: Mapping[str, Any]) -> dict[str, Any]:
    for content in part.get("content", {}).values():
        return content.get("schema", {})
    return {}


def _status(code: str) -> str:
    return f"{code} {HTTPStatus(int(code)).phrase}" if code.isdecimal() else code


def words_of(schema: Mapping[str, Any]) -> str:
    """A JSON Schema in a few words: "integer ≥ 1", "list of strings or null"."""
    if name := _own_name(schema):
        return name
    if "enum" in schema:
        return " or ".join(json.dumps(value) for value in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    for either in ("anyOf", "oneOf"):
        if either in schema:
            return " or ".join(dict.fromkeys(words_of(one) for one in schema[either]))
    if schema.get("type") == "array":
        return f"list of {words_of(schema.get('items', {}))}"
    bounds = [words.format(schema[bound]) for bound, words in _BOUNDS.items() if bound in schema]
    return " ".join([schema.get("format") or schema.get("type") or "any", ", ".join(bounds)]).strip()


def _own_name(schema: Mapping[str, Any]) -> str | None:
    reference: str = schema.get("$ref", "")
    return reference.removeprefix(_PREFIX) or None


def _shape_name(schema: Mapping[str, Any]) -> str | None:
    """The first shape that a schema is, or consists of."""
    return next(_names_in(schema), None)


def _names_in(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        described = cast("dict[str, Any]", schema)
        if name := _own_name(described):
            yield name
        for part in described.values():
            yield from _names_in(part)
    elif isinstance(schema, list):
        for part in cast("list[Any]", schema):
            yield from _names_in(part)


def _shapes(described: list[dict[str, Any]], schemas: Mapping[str, Any]) -> list[Shape]:
    """What the operations take and give, and what that is made of."""
    waiting = list(dict.fromkeys(name for operation in described for name in _names_in(operation)))
    found = dict[str, Shape]()
    while waiting:
        name = waiting.pop(0)
        if name not in found and name != _PROBLEM:
            found[name] = Shape(name, schemas[name].get("description", ""), _fields(schemas[name]))
            waiting += _names_in(schemas[name])
    return list(found.values())


def _fields(schema: Mapping[str, Any]) -> list[Field]:
    required = set(schema.get("required", ()))
    return [
        Field(name, words_of(part), _shape_name(part), name in required, part.get("description", ""))
        for name, part in schema.get("properties", {}).items()
    ]


def _curl(
    path: str,
    method: str,
    described: Mapping[str, Any],
    body: Mapping[str, Any],
    schemas: Mapping[str, Any],
    base_url: str,
) -> str:
    """The call as a command, its body with the fields that must be there."""
    lines = ["curl" + ("" if method == "GET" else f" -X {method}") + f" {base_url}{path}"]
    if described.get("security", True):
        lines.append('-H "Authorization: Bearer $MAILWEIR_API_KEY"')
    if name := _shape_name(body):
        needed = {field.name: _placeholder(field) for field in _fields(schemas[name]) if field.required}
        lines += ['-H "Content-Type: application/json"', f"-d '{json.dumps(needed, ensure_ascii=False)}'"]
    return " \\\n  ".join(lines)


def _placeholder(field: Field) -> Any:
    if field.type.startswith("integer") or field.type.startswith("number"):
        return 1
    if field.type.startswith('"'):
        return json.loads(field.type.split(" or ")[0])
    if field.type.startswith("list"):
        return []
    return True if field.type == "boolean" else "…"


@get("/docs", opt={OPEN: True})
async def show_reference(request: AnyRequest) -> Template:
    """What there is, by subject."""
    return page(request, "reference.html", groups=_groups(request), group=None)


@get("/docs/{name:str}", opt={OPEN: True})
async def show_group(request: AnyRequest, name: FromPath[str]) -> Template:
    """The operations on one kind of thing, with everything they take and give."""
    groups = _groups(request)
    group = next((group for group in groups if group.path == f"/docs/{name}"), None)
    if group is None:
        raise not_found("part of the API", name[:50])
    return page(request, "reference.html", groups=groups, group=group)


def _groups(request: AnyRequest) -> list[Group]:
    return groups_of(document_of(request.app), gateway_of(request).settings.base_url)


REFERENCE = [show_reference, show_group]
