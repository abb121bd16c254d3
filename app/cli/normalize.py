"""`mailweir normalize`: provider requests on standard input, unified events on standard output, no server."""

import sys
from pathlib import Path

import rich_click as click
from click import argument, option


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
    from app.cli.normalizing import Normalizer  # here, so that the help need not wait

    normalizer = Normalizer(provider, mapping)
    write, flush = sys.stdout.buffer.write, sys.stdout.buffer.flush
    for line in sys.stdin.buffer:
        write(normalizer.result_of(line) + b"\n")
        flush()
