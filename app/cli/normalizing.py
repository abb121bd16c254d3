"""Lines of JSON that are requests, made into lines that are their results."""

from pathlib import Path

import msgspec

from adapters.adapter import Adapter
from app.cli.configuration import settings_in_force
from app.cli.errors import Misconfigured
from app.cli.providers import adapter_in, find_adapter
from app.trial import Attempted, Normalized, Trial

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Attempted, strict=False).decode


class Normalizer:
    """Reads the requests of one provider. Raises Misconfigured where there is no such provider."""

    def __init__(self, provider: str, mapping: Path | None) -> None:
        adapter = find_adapter(provider) if mapping is None else _from_file(mapping, provider)
        self._trial = Trial(adapter, body_bytes_max=settings_in_force().body_bytes_max)

    def result_of(self, line: bytes) -> bytes:
        """The result of the request in `line`, in JSON."""
        return _encode(self._result(line))

    def _result(self, line: bytes) -> Normalized:
        try:
            tried = self._trial.read(_decode(line))
        except (msgspec.MsgspecError, ValueError, RecursionError) as mistake:
            return Normalized(status=400, error=f"the line is not a request: {mistake}")
        return Normalized(status=tried.status, events=tried.events, quarantined=tried.quarantined, error=tried.error)


def _from_file(path: Path, provider: str) -> Adapter:
    adapter = adapter_in(path)
    if adapter.name != provider:
        raise Misconfigured(f"{path} is the mapping of '{adapter.name}', not of '{provider}'")
    return adapter
