"""`mailweir normalize`: provider requests on standard input, unified events on standard output, no server."""

import sys
from pathlib import Path

import msgspec
import rich_click as click
from click import argument, option

from adapters.adapter import Adapter
from app.cli.configuration import settings_in_force
from app.cli.errors import Misconfigured
from app.cli.mapping_trial import adapter_in
from app.cli.mappings import find_adapter
from app.trial import Attempted, Normalized, Trial

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Attempted, strict=False).decode


@click.command()
@argument("provider")
@option(
    "--mapping",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read the mapping from this file instead.",
)
def normalize(provider: str, mapping: Path | None) -> None:
    """Turn requests of PROVIDER into unified events, without a server.

    Each line of standard input is a request in JSON, each line of standard output its result: the status that the
    gateway would answer, the events, and what was quarantined. `"secrets": null` skips verification; `"at": null` skips
    the checks of the request's age and of single-use tokens, which otherwise count once in a run.

    \b
    Input:
        {"request": {"method", "scheme", "host", "path", "query", "headers": {}, "content_type",
         "body" or "body_b64", "client"}, "secrets": {"signing_secret": "…"}, "at": 1772525700,
         "options": {"topic_arns": ["…"]}, "certificates": {"https://sns.…pem": "-----BEGIN…"}}

    \b
    Examples:
        mailweir normalize sendgrid < requests.jsonl > events.jsonl
        mailweir normalize acme --mapping acme.yaml < requests.jsonl
    """
    adapter = find_adapter(provider) if mapping is None else _from_file(mapping, provider)
    trial = Trial(adapter, body_bytes_max=settings_in_force().body_bytes_max)
    write, flush = sys.stdout.buffer.write, sys.stdout.buffer.flush
    for line in sys.stdin.buffer:
        write(_encode(_result(trial, line)) + b"\n")
        flush()


def _result(trial: Trial, line: bytes) -> Normalized:
    try:
        tried = trial.read(_decode(line))
    except (msgspec.MsgspecError, ValueError, RecursionError) as mistake:
        return Normalized(status=400, error=f"the line is not a request: {mistake}")
    return Normalized(status=tried.status, events=tried.events, quarantined=tried.quarantined, error=tried.error)


def _from_file(path: Path, provider: str) -> Adapter:
    adapter = adapter_in(path)
    if adapter.name != provider:
        raise Misconfigured(f"{path} is the mapping of '{adapter.name}', not of '{provider}'")
    return adapter
