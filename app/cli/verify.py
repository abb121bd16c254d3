"""`mailweir verify`: the subscriber's side, for whoever writes one: is this webhook authentic, and if not, why?"""

import base64
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, BinaryIO, cast

import msgspec
import rich_click as click
from click import argument, option

from app.cli.errors import CheckFailed, Misconfigured
from app.cli.output import json_option, say, show_json, show_list, wants_json

REQUEST_BYTES_MAX = 10_000_000

_COLUMNS = {"Looked at": "check", "Right": "ok", "Why": "says"}


@click.command()
@argument("request", type=click.File("rb"), default="-")
@option("--body", type=click.File("rb"), help="The body alone, as it came; REQUEST then holds the headers.")
@option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="One more header.")
@option(
    "--secret",
    "keys",
    multiple=True,
    envvar="WEBHOOK_SECRET",
    help="The endpoint's secret (whsec_…) or public key (whpk_…); several while it rotates. [env: WEBHOOK_SECRET]",
)
@option("--tolerance-s", type=click.FloatRange(min=0), default=300.0, show_default=True, help="How old it may be.")
@option("--at", "at", help="When it came, in ISO 8601 or seconds since 1970; now unless given.")
@json_option
def verify(
    request: BinaryIO,
    body: BinaryIO | None,
    headers: Sequence[str],
    keys: Sequence[str],
    tolerance_s: float,
    at: str | None,
) -> None:
    """Verify the webhook in the file REQUEST, or on standard input, as its subscriber should, and say what is wrong.

    REQUEST holds the headers, an empty line and the body, all as they came; or JSON with "headers" and "body" (or
    "body_b64"), such as a request in `mailweir deliveries show`. Needs no gateway. Without --secret it is asked for.
    The exit code is 0 when the webhook is authentic, 1 when not.

    \b
    Examples:
        mailweir verify request.txt --secret whsec_…
        mailweir verify headers.txt --body body.json --secret whpk_…
        mailweir verify request.txt --at 2026-03-03T08:15:00Z
    """
    from app.proof import Webhook, check_keys, examine  # here, so that the help need not wait for cryptography

    found, payload = _parsed(_read(request, "REQUEST"), has_body=body is None)
    found |= _split(headers)
    webhook = Webhook(found, payload if body is None else _read(body, "--body"))
    keys = keys or [_asked_for(request)]
    try:
        check_keys(keys)
    except ValueError as mistake:
        raise Misconfigured(f"--secret: {mistake}") from mistake
    verdict = examine(webhook, keys, _seconds(at), tolerance_s)
    if wants_json():
        show_json(verdict)
    else:
        show_list([msgspec.structs.asdict(check) for check in verdict.checks], _COLUMNS)
    if not verdict.valid:
        raise CheckFailed(f"not authentic ({verdict.reason}): {verdict.advice}")
    if not wants_json():
        say(verdict.advice)


def _read(file: BinaryIO, name: str) -> bytes:
    content = file.read(REQUEST_BYTES_MAX + 1)
    if len(content) > REQUEST_BYTES_MAX:
        raise Misconfigured(f"{name} is larger than {REQUEST_BYTES_MAX} bytes; no webhook is")
    return content


def _parsed(given: bytes, *, has_body: bool) -> tuple[dict[str, str], bytes]:
    """Headers by lower-case name, and the body."""
    if given.lstrip().startswith(b"{"):
        return _parsed_json(given)
    before, empty, body = given.partition(b"\r\n\r\n") if _ends_lines_by_crlf(given) else given.partition(b"\n\n")
    if has_body and not empty:
        raise Misconfigured("REQUEST needs headers, an empty line and the body; or give the body by --body")
    lines = before.decode("latin-1").splitlines()
    if lines and ":" not in lines[0].partition(" ")[0]:
        lines = lines[1:]  # POST /hook HTTP/1.1
    return _split(line for line in lines if line.strip()), body


def _ends_lines_by_crlf(given: bytes) -> bool:
    return given.partition(b"\n")[0].endswith(b"\r")


def _parsed_json(given: bytes) -> tuple[dict[str, str], bytes]:
    try:
        request = msgspec.json.decode(given, type=dict[str, Any])
        headers = {str(name).lower(): str(value) for name, value in _object(request["headers"]).items()}
        encoded = request.get("body_b64")
        body = request.get("body", "") if encoded is None else base64.b64decode(encoded, validate=True)
        return headers, body if isinstance(body, bytes) else str(body).encode()
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, ValueError) as mistake:
        raise Misconfigured(f'REQUEST is no JSON object with "headers" and "body": {mistake}') from mistake


def _object(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise TypeError("headers is not an object")
    return cast("dict[Any, Any]", value)


def _split(lines: Iterable[str]) -> dict[str, str]:
    headers = dict[str, str]()
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise Misconfigured(f"'{line[:80]}' is no header; one is NAME: VALUE")
        headers[name.strip().lower()] = value.strip()
    return headers


def _asked_for(request: BinaryIO) -> str:
    if not sys.stdin.isatty() or request.name == "<stdin>":
        raise Misconfigured("no secret: give --secret, or set WEBHOOK_SECRET")
    return click.prompt("The endpoint's secret", hide_input=True, err=True)


def _seconds(at: str | None) -> float:
    if at is None:
        return time.time()
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        try:
            return float(at)
        except ValueError as mistake:
            raise Misconfigured(f"--at: '{at}' is neither a time nor a number of seconds") from mistake
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
