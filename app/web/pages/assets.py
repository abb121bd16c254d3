"""The files that pages load: a style sheet and modules of our own, under a URL that changes when one of them does."""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from litestar import Response, get
from litestar.params import FromPath

from app.web.problems import not_found

FOLDER = Path(__file__).parents[1] / "static"
PREFIX = "/static"
_FOR_EVER, _ASK_AGAIN = "public, max-age=31536000, immutable", "no-cache"
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Assets(NamedTuple):
    """All files by name, and what their URL begins with: modules find each other beside themselves."""

    version: str
    files: Mapping[str, bytes]


@cache
def assets() -> Assets:
    """The files as they are on the disk at the first call."""
    paths = sorted(path for path in FOLDER.rglob("*") if path.suffix in _MEDIA_TYPES)
    files = {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in paths}
    digest = hashlib.sha256()
    for name, body in files.items():
        digest.update(f"{name} {len(body)}\n".encode() + body)
    return Assets(digest.hexdigest()[:12], files)


def static_url(name: str) -> str:
    """Where that file is: "app.css"."""
    found = assets()
    if name not in found.files:
        raise LookupError(f"there is no static file {name}")
    return f"{PREFIX}/{found.version}/{name}"


@get(PREFIX + "/{version:str}/{name:path}", include_in_schema=False)
async def static_file(version: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    """A file; under an older URL, which a page of an older version names, it is today's."""
    found = assets()
    body = found.files.get(name.lstrip("/"))
    if body is None:
        raise not_found("file", name)
    caching = _FOR_EVER if version == found.version else _ASK_AGAIN
    headers = {"Cache-Control": caching, "X-Content-Type-Options": "nosniff"}
    return Response(body, media_type=_MEDIA_TYPES[Path(name).suffix], headers=headers)
