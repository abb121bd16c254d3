"""A provider's request as one packed value, in the `body` of its receipt, whose other columns for it are empty.

Its parts name the same host, the same ids and the same times, so that together they take less room. Versions before
this kept each part in its column; what they stored is read as it is.
"""

from typing import Any, NamedTuple

import msgspec

from app.store.packing import packed, unpacked
from app.store.tables import ReceiptRow, table_of

_receipt = table_of(ReceiptRow)
REQUEST_COLUMNS = (_receipt.c.method, _receipt.c.url, _receipt.c.headers, _receipt.c.body)

_json = msgspec.json.Encoder()


class KeptRequest(NamedTuple):
    """The request; `headers` are a JSON object."""

    method: str
    url: str
    headers: bytes
    body: bytes


def stored_request(request: KeptRequest) -> tuple[str, str, bytes, bytes]:
    """Values for REQUEST_COLUMNS."""
    line = _json.encode((request.method, request.url))
    return "", "", b"", packed(b"%b\n%b\n%b" % (line, request.headers, request.body))


def request_of(row: Any) -> KeptRequest:
    """The request out of a row that has REQUEST_COLUMNS."""
    if row.method:
        return KeptRequest(row.method, row.url, row.headers, row.body)
    line, headers, body = unpacked(row.body).split(b"\n", 2)
    return KeptRequest(*msgspec.json.decode(line, type=tuple[str, str]), headers, body)
