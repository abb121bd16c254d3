"""Every error as RFC 9457 problem details: what is wrong, in which field, and what to change."""

import traceback
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from msgspec import UNSET, UnsetType
from sqlalchemy.exc import DBAPIError

from app.store.errors import StoreError, driver_message, is_unavailable
from app.store.ledger import StoreUnavailable
from app.vault import VaultError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = "1"

PRIVATE_PATH = "private_path"
"""Handler option: the path names a person, so that only its form is logged."""

log = structlog.get_logger()


class FieldError(msgspec.Struct, frozen=True):
    """One thing wrong with the input. `field` is a path such as "headers.X-Tenant"; "" is the body as a whole."""

    field: str
    message: str


class MistakeInExpression(FieldError, frozen=True, kw_only=True):
    """A mistake in a filter or transform."""

    position: int | None
    """The character where it is, counted from 0."""


class ProblemDetails(msgspec.Struct, frozen=True):
    """The body of every error."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] | UnsetType = UNSET


class Problem(Exception):
    """An answer that is an error; `detail` is for the caller to read and says what to change."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str = "",
        errors: Iterable[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.kind = kind
        self.errors = list(errors)
        self.headers = dict(headers or {})


def invalid(errors: Iterable[FieldError]) -> Problem:
    """422: the input was understood and cannot be accepted."""
    found = list(errors)
    sentences = [f"{error.field or 'The body'}: {error.message}" for error in found]
    return Problem(422, " ".join(sentences), kind="invalid-input", errors=found)


def not_found(what: str, name: object) -> Problem:
    """404: no such thing in the environment of the caller's key."""
    return Problem(404, f"There is no {what} {name}.")


def problem_body(problem: Problem) -> bytes:
    """The JSON of a problem."""
    return msgspec.json.encode(
        ProblemDetails(
            type=f"urn:mailweir:problem:{problem.kind}" if problem.kind else "about:blank",
            title=HTTPStatus(problem.status).phrase,
            status=problem.status,
            detail=problem.detail,
            errors=problem.errors or UNSET,
        )
    )


def store_unavailable() -> Problem:
    """503: the database cannot be used now; the same request may succeed later."""
    return Problem(503, "The store cannot be used just now; try again.", headers={"Retry-After": RETRY_AFTER_S})


def status_of(error: Exception) -> int:
    """The status that the exception handlers answer with."""
    match error:
        case Problem():
            return error.status
        case HTTPException():
            return error.status_code
        case StoreError():
            return error.status_hint
        case _:
            return 503 if isinstance(error, StoreUnavailable) or is_unavailable(error) else 500


AnyRequest = Request[Any, Any, State]
AnyConnection = ASGIConnection[Any, Any, Any, State]


def _as_it_is(_request: AnyRequest, problem: Problem) -> Problem:
    return problem


def _of_refusal(request: AnyRequest, refusal: HTTPException) -> Problem:
    """What the framework refused before a route saw it."""
    method, path = request.scope["method"], request.scope["path"]
    headers = refusal.headers or {}
    match refusal.status_code:
        case 404:
            detail = f"There is nothing at {path}; /openapi.json lists what there is."
        case 405:
            detail = f"{path} does not take {method}; it takes {headers.get('allow', 'other methods')}."
        case 413:
            detail = "The body is larger than an API call may be; MAILWEIR_API_BODY_BYTES_MAX sets the limit."
        case _:
            detail = refusal.detail or HTTPStatus(refusal.status_code).description
    return Problem(refusal.status_code, detail, headers=headers)


def _of_store_trouble(request: AnyRequest, error: Exception) -> Problem:
    method, path = request.scope["method"], loggable_path(request.scope)
    log.error("store.unavailable", method=method, path=path, error=driver_message(error))
    return store_unavailable()


def _of_store_refusal(_request: AnyRequest, refusal: StoreError) -> Problem:
    return Problem(refusal.status_hint, str(refusal))


def _of_wrong_key(request: AnyRequest, error: VaultError) -> Problem:
    log.error("vault.cannot_open", method=request.scope["method"], path=loggable_path(request.scope), error=str(error))
    return Problem(500, f"{error}.")


def _of_fault(request: AnyRequest, fault: Exception) -> Problem:
    if is_unavailable(fault):
        return _of_store_trouble(request, fault)
    log.error("request.failed", method=request.scope["method"], path=loggable_path(request.scope), **loggable(fault))
    return Problem(500, "Something broke on our side; it has been logged. The request may be tried again.")


def loggable_path(scope: Any) -> str:
    """The path, or no more than its form where it names a person."""
    handler = scope.get("route_handler")
    return scope["path_template"] if handler and handler.opt.get(PRIVATE_PATH) else scope["path"]


def loggable(fault: Exception) -> dict[str, Any]:
    """A fault of ours as the fields of a log line.

    The traceback of what a database refused would end in PostgreSQL's account of the row, secrets and all.
    """
    if not isinstance(fault, DBAPIError):
        return {"exc_info": fault}
    places = traceback.format_list(traceback.extract_tb(fault.__traceback__))
    return {"error": driver_message(fault), "statement": fault.statement, "places": places}


_PROBLEM_OF: dict[type[Exception], Callable[[AnyRequest, Any], Problem]] = {
    Problem: _as_it_is,
    HTTPException: _of_refusal,
    StoreUnavailable: _of_store_trouble,
    StoreError: _of_store_refusal,
    VaultError: _of_wrong_key,
    Exception: _of_fault,
}


def answering(answer: Callable[[AnyRequest, Problem], Response[Any]]) -> dict[int | type[Exception], Any]:
    """Exception handlers: whatever is raised anywhere becomes a problem, and `answer` makes the response of it."""

    def handler(problem_of: Callable[[AnyRequest, Any], Problem]) -> Callable[[AnyRequest, Exception], Response[Any]]:
        return lambda request, error: answer(request, problem_of(request, error))

    return {kind: handler(problem_of) for kind, problem_of in _PROBLEM_OF.items()}


def as_json(_request: AnyRequest, problem: Problem) -> Response[bytes]:
    """Problem details, as every caller of the API gets them."""
    return Response(
        problem_body(problem), status_code=problem.status, media_type=MEDIA_TYPE, headers=problem.headers or None
    )
