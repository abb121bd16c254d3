"""Makes a dictionary for `app.store.packing` out of the project's own fixtures: `make dictionary`.

A dictionary holds what requests, events and attempts have in common: the names of fields, their order, what values
begin with. `whole_requests.json` has some with all the fields that their providers document, most of which the fixtures
of the adapters leave out. Ids, digests and times are replaced by chance ones, so that it does not fill up with these.
Rows name the dictionary they were packed with, so one that was released stays as it is for ever: this writes the next.
"""

import base64
import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from adapters.errors import AdapterError
from adapters.events import Event, iso_millis
from app.signer import Signer
from app.store.ids import EVENT, public_id
from app.store.packing import DICTIONARIES, LEVEL
from tests.adapters.native_fixtures import CATALOG, RECEIVED_MS, cases_of, native_request

WHOLE = json.loads((Path(__file__).parent / "whole_requests.json").read_text("utf-8"))
SIZE = 64 * 1024
FORMS = 1
"""How many times each fixture counts, with other values each time."""
WHOLE_FORMS = 60
ANSWERED = 1500

_chance = random.Random(1)  # noqa: S311 - no secret: the dictionary is to come out the same each time
_signer = Signer(["whsec_" + base64.b64encode(bytes(32)).decode()])
_encode = msgspec.json.encode
_CODE = re.compile(r"[A-Za-z0-9_-]{6,}")
_HEX, _LETTERS = "0123456789abcdef", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def samples() -> Iterator[bytes]:
    """Everything that is packed, in about the shares in which it comes."""
    for provider in CATALOG.names():
        for case in cases_of(provider).values():
            for _ in range(FORMS):
                yield from _of_request(provider, _other(case["body"]), case["headers"])
    for _ in range(WHOLE_FORMS):
        for provider, bodies in WHOLE["requests"].items():
            for body in bodies:
                yield from _of_request(provider, _other(body), {})
    for _ in range(ANSWERED):
        yield _encode(_other(_chance.choice(WHOLE["answers"])))


def _of_request(provider: str, body: Any, headers: dict[str, str]) -> Iterator[bytes]:
    """A request as it is kept, and its events."""
    request = native_request(body if isinstance(body, str) else _encode(body), headers)
    known = {**_chance.choice(WHOLE["headers"]), **headers, "content-length": str(len(request.body))}
    line = _encode(["POST", f"https://hooks.example.com/api/webhooks/{provider}"])
    yield b"%b\n%b\n%b" % (line, _encode(_other(known)), request.body)
    try:
        events = CATALOG.get(provider).read(request, None, None, RECEIVED_MS).events
    except AdapterError:
        return
    for mapped in events:
        mapped.data.provider = msgspec.structs.replace(mapped.data.provider, source=provider)
        mapped.data.received_at = _some_time()
        yield _encode(
            Event(
                id=public_id(EVENT, _chance.getrandbits(62)),
                type=mapped.type,
                timestamp=_some_time(),
                org_id=f"org_{_chance.randbytes(10).hex()}",
                env_id=f"env_{_chance.randbytes(10).hex()}",
                data=mapped.data,
            )
        )
        yield _encode(_sent_headers(mapped.type))


def _sent_headers(event_type: str) -> dict[str, str]:
    return _signer.headers(
        webhook_id=public_id(EVENT, _chance.getrandbits(62)),
        event_type=event_type,
        body=_chance.randbytes(8),
        attempt=_chance.choice((1, 1, 1, 2, 3)),
        unix_s=RECEIVED_MS // 1000 + _chance.randrange(10**8),
    )


def _some_time() -> str:
    return iso_millis(RECEIVED_MS + _chance.randrange(10**11))


def _other(value: Any) -> Any:
    """The same with other ids, digests and numbers."""
    match value:
        case dict():
            return {key: _other(one) for key, one in value.items()}
        case list() | tuple():
            return [_other(one) for one in value]
        case str():
            return _CODE.sub(_other_code, value)
        case int() if value > 100_000:
            return value + _chance.randrange(30_000_000)
        case _:
            return value


def _other_code(found: re.Match[str]) -> str:
    code = found.group()
    if not any(char.isdigit() for char in code):
        return code
    if code.isdigit():
        return str(int(code) + _chance.randrange(30_000_000)).zfill(len(code))
    letters = _HEX if all(char in _HEX + "-_" for char in code) else _LETTERS
    return "".join(char if char in "-_" else _chance.choice(letters) for char in code)


def main() -> None:
    trained = zstandard.train_dictionary(SIZE, list(samples()), level=LEVEL, d=8, k=2000)
    number = 1 + max((int(path.stem) for path in DICTIONARIES.glob("*.zdict")), default=0)
    (DICTIONARIES / f"{number}.zdict").write_bytes(trained.as_bytes())
    sys.stdout.write(f"Dictionary {number} is made; name it as the NEWEST in app/store/packing.py.\n")


if __name__ == "__main__":
    main()
