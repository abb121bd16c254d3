"""From the body of a request to native values: dicts, lists, text and numbers as the provider meant them."""

import gc
import re
from collections.abc import Callable, Iterable
from email.message import Message
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

import msgspec
from multipart import MultipartSegment, PushMultipartParser

from adapters.errors import DecodeFailed
from adapters.request import NativeRequest

Json: TypeAlias = dict[str, Any] | list[Any] | str | float | bool | None

DEPTH_MAX = 64
"""Objects and lists inside each other."""
ITEMS_MAX = 20_000
"""Items of one batch: entries of a JSON array, or lines."""
CONTAINERS_MAX = 500_000
"""Objects and lists of one document, counted by their brackets before it is read: each costs more than its bytes."""
FORM_FIELDS_MAX = 2_000
PART_HEADER_BYTES_MAX = 16_384
LONE_SURROGATES_MAX = 1_000
"""Halves of characters that are mended in one body."""

_from_json = msgspec.json.Decoder().decode
_BOM = b"\xef\xbb\xbf"
_URL_ENCODED_JSON = (b"%7b", b"%5b")
# Python knows codecs that are no charsets of mail, some of them slow on purpose-made input (idna, punycode).
_MAIL_CHARSET = re.compile(r"(us-ascii|(iso-|windows-|koi8-|euc-|gb|big5|shift_jis)[\w-]*)", re.ASCII | re.IGNORECASE)
# Never fails and never goes back, so that its cost stays in proportion to the body whatever that holds.
_UP_TO_LONE_SURROGATE = re.compile(
    rb"((?:[^\\]"
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair: one character
    rb"|\\(?!u[dD][89a-fA-F][0-9a-fA-F]{2}).?)*+)"
    rb"(\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\Z)",
    re.DOTALL,
)


def decode(kind: str, request: NativeRequest) -> Any:
    """The body of `request` read as `kind`, a key of `DECODERS`. A bad body raises DecodeFailed and nothing else.

    Read once for a request: who asks again gets the same object, or the same refusal.
    """
    found = request.decoded.get(kind)
    if found is None:
        try:
            found = DECODERS[kind](request)
        except DecodeFailed as failure:
            found = failure
        request.decoded[kind] = found
    if type(found) is DecodeFailed:
        raise DecodeFailed(str(found))
    return found


def parse_json(data: bytes | str) -> Json:
    """One JSON document of any type; also for JSON texts inside fields.

    Integers are exact whatever their size; of a repeated key the last value counts; half a surrogate pair (a subject
    cut in the middle of an emoji) becomes U+FFFD. NaN and Infinity are refused.
    """
    raw = (data.encode("utf-8", "replace") if isinstance(data, str) else data).removeprefix(_BOM)
    opened = raw.count(b"[") + raw.count(b"{")
    if opened > CONTAINERS_MAX:
        raise DecodeFailed(f"the body holds {opened:,} objects and lists, {CONTAINERS_MAX:,} are the most")
    value = _parse(raw)
    if opened > DEPTH_MAX:
        _refuse_depth(value)
    return value


def decode_json(request: NativeRequest) -> Any:
    """The object or array that the body is."""
    value = parse_json(request.body)
    if type(value) is list:
        _refuse_items(len(value))
    elif type(value) is not dict:
        raise DecodeFailed("the body is JSON, but neither an object nor an array")
    return value


def decode_json_lines(request: NativeRequest) -> Any:
    """A list of the documents in the body, one a line; a body that is one document gives just what `json` gives.

    A line that is not JSON stays as its text, so that it alone is quarantined; if no line is JSON the body is refused.
    """
    try:
        return decode("json", request)
    except DecodeFailed:
        _refuse_lines(request.body)
        lines = [line for line in request.body.removeprefix(_BOM).splitlines() if line.strip()]
        if len(lines) < 2:
            raise
    _refuse_items(len(lines))
    items = [_line(line) for line in lines]
    if all(isinstance(item, str) for item in items):
        raise DecodeFailed("the body is neither one JSON document nor JSON Lines")
    return items


def decode_form(request: NativeRequest) -> dict[str, Any]:
    """The fields of a URL-encoded or multipart form: name → text, or for a file {filename, content_type, size}.

    A repeated name keeps its first value, and all of them in order are a list under the name with "[]" added.
    """
    if request.media_type.startswith("multipart/"):
        return _fields(_multipart(request))
    return _fields(_url_encoded(request.body.decode("utf-8", "replace")))


def decode_query(request: NativeRequest) -> dict[str, Any]:
    """The parameters in the URL, in the shape of a form."""
    try:
        query = urlsplit(request.url).query
    except ValueError as error:
        raise DecodeFailed("the URL of the request cannot be read") from error
    return _fields(_url_encoded(query))


def decode_text(request: NativeRequest) -> str:
    """The body as UTF-8 text."""
    try:
        return request.body.removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        raise DecodeFailed(f"the body is not UTF-8 text: byte {error.start} is wrong") from error


def decode_auto(request: NativeRequest) -> Any:
    """JSON, form or query, by content type; where that is missing or plainly wrong, by the look of the body.

    JSON arrives as text/plain (SNS), as a form (clients that leave the default) and URL-encoded as a whole (ZeptoMail).
    """
    if request.body[:1] in (b"{", b"["):
        return decode("json", request)
    start = request.body[:16].removeprefix(_BOM).lstrip()[:3].lower()
    if start[:1] in (b"{", b"["):
        return decode("json", request)
    if start in _URL_ENCODED_JSON and b"=" not in request.body:
        return _with_body(request, unquote_to_bytes(request.body.replace(b"+", b" ")))
    if not request.body and request.method == "GET":
        return decode("query", request)
    if request.media_type.startswith("multipart/") or b"=" in request.body:
        return decode("form", request)
    return decode("json", request)


DECODERS: dict[str, Callable[[NativeRequest], Any]] = {
    "json": decode_json,
    "json_lines": decode_json_lines,
    "form": decode_form,
    "query": decode_query,
    "auto": decode_auto,
    "text": decode_text,
}


def _parse(raw: bytes) -> Any:
    try:
        return _strictly(raw)
    except DecodeFailed:
        whole = _UP_TO_LONE_SURROGATE.sub(_mended, raw, LONE_SURROGATES_MAX)
        if whole == raw:
            raise
        return _strictly(whole)


def _mended(found: re.Match[bytes]) -> bytes:
    return found[1] + (rb"\ufffd" if found[2] else b"")


def _strictly(raw: bytes) -> Any:
    try:
        return _from_json(raw)
    except RecursionError as error:
        raise _too_deep() from error
    except (ValueError, msgspec.MsgspecError) as error:
        raise DecodeFailed(_why_not_json(raw, error)) from error


def _why_not_json(raw: bytes, error: Exception) -> str:
    if not raw.strip():
        return "the body is empty; JSON was expected"
    if isinstance(error, UnicodeDecodeError):
        return f"the body is not JSON in UTF-8: {error.reason}"
    return f"the body is not JSON: {str(error).removeprefix('JSON is malformed: ')}"


def _refuse_depth(value: Any) -> None:
    # The garbage collector's own walk: a level at a time, and without the cost of a loop in Python.
    level = [value]
    for _ in range(DEPTH_MAX):
        level = gc.get_referents(*level)
        if not level:
            return
    if any(isinstance(value, (dict, list)) for value in level):
        raise _too_deep()


def _too_deep() -> DecodeFailed:
    return DecodeFailed(f"the body holds objects or lists more than {DEPTH_MAX} deep")


def _refuse_items(count: int) -> None:
    if count > ITEMS_MAX:
        raise DecodeFailed(f"the body holds {count:,} items, {ITEMS_MAX:,} are the most")


def _refuse_lines(raw: bytes) -> None:
    """Before they are split: half of them may be blank."""
    if raw.count(b"\n") + raw.count(b"\r") > 2 * ITEMS_MAX:
        raise DecodeFailed(f"the body is no JSON document, and more lines than {ITEMS_MAX:,} items need")


def _line(line: bytes) -> Any:
    try:
        return parse_json(line)
    except DecodeFailed:
        return line.decode("utf-8", "replace")


def _with_body(request: NativeRequest, body: bytes) -> Any:
    return decode_json(NativeRequest(method=request.method, url=request.url, headers=request.headers, body=body))


def _fields(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    everything: dict[str, list[Any]] = {}
    for name, value in pairs:
        everything.setdefault(name, []).append(value)
    fields = {name: values[0] for name, values in everything.items()}
    fields |= {f"{name}[]": values for name, values in everything.items() if len(values) > 1}
    return fields


def _url_encoded(text: str) -> list[tuple[str, str]]:
    # Forms carry the text of mails in any encoding: what is not UTF-8 becomes U+FFFD rather than losing the request.
    try:
        return parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=FORM_FIELDS_MAX)
    except ValueError as error:
        raise DecodeFailed(f"the form has more than {FORM_FIELDS_MAX:,} fields") from error


def _multipart(request: NativeRequest) -> list[tuple[str, Any]]:
    try:
        parser = PushMultipartParser(
            boundary=_boundary(request.headers.get("content-type", "")),
            max_header_size=PART_HEADER_BYTES_MAX,
            max_segment_count=FORM_FIELDS_MAX,
        )
        with parser:
            return _parts(parser.parse(request.body))
    except ValueError as error:
        raise DecodeFailed(f"the multipart form cannot be read: {error}") from error


def _boundary(content_type: str) -> str:
    header = Message()
    header["Content-Type"] = content_type
    return header.get_boundary("")


def _parts(events: Iterable[MultipartSegment | bytes | bytearray | None]) -> list[tuple[str, Any]]:
    parts: list[tuple[str, Any]] = []
    segment: MultipartSegment | None = None
    content = bytearray()
    for event in events:
        if isinstance(event, MultipartSegment):
            segment, content = event, bytearray()
        elif event is not None:
            content += event
        elif segment is not None:
            parts.append((segment.name or "", _part_value(segment, content)))
    return parts


def _part_value(segment: MultipartSegment, content: bytearray) -> Any:
    if segment.filename is not None:
        content_type = segment.content_type or "application/octet-stream"
        return {"filename": segment.filename, "content_type": content_type, "size": len(content)}
    charset = segment.charset or ""
    try:
        return content.decode(charset if _MAIL_CHARSET.fullmatch(charset) else "utf-8", "replace")
    except LookupError:
        return content.decode("utf-8", "replace")
