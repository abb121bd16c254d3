"""Problems as pages: what went wrong, and where to go on."""

from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from litestar import Response

from app.web.pages.entrance import LOGIN_NEEDED
from app.web.pages.rendering import PAGE_HEADERS, page
from app.web.problems import AnyRequest, Problem, answering, as_json

API = "/api"


def as_page(request: AnyRequest, problem: Problem) -> Response[Any]:
    """The problem as a page; who has to log in first is sent there, and back afterwards."""
    if problem.kind == LOGIN_NEEDED:
        return _to_login(request)
    answer = page(
        request,
        "problem.html",
        status=problem.status,
        title=HTTPStatus(problem.status).phrase,
        problem=problem,
    )
    answer.headers.update(problem.headers)
    return answer


def as_caller_reads(request: AnyRequest, problem: Problem) -> Response[Any]:
    """A page for a browser that is somewhere where there is none; JSON for everybody else."""
    is_lost = problem.status in (404, 405) and not _is_api(request.scope["path"])
    if is_lost and "text/html" in request.headers.get("accept", ""):
        lost = Problem(problem.status, f"There is no page {request.scope['path']}.", headers=problem.headers)
        return as_page(request, lost)
    return as_json(request, problem)


PAGE_EXCEPTION_HANDLERS = answering(as_page)
"""For the routes of the dashboard."""
EXCEPTION_HANDLERS = answering(as_caller_reads)
"""For the application."""


def _is_api(path: str) -> bool:
    return path == API or path.startswith(f"{API}/")


def _to_login(request: AnyRequest) -> Response[Any]:
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    next_page = asked if request.method == "GET" and asked != "/" else ""
    location = "/login" + (f"?{urlencode({'next': next_page})}" if next_page else "")
    return Response(b"", status_code=303, headers={**PAGE_HEADERS, "Location": location})
