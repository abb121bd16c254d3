"""What has to be true of a run before its figures count: every event came once, and was recorded once."""

from collections.abc import Sequence

from bench.generator import Load, Sent
from bench.requests import email_ids
from bench.server import Stored
from bench.sink import Arrival


class RunBroken(Exception):
    """A run whose figures would be worthless: something was refused, lost, doubled or too late."""


def check_answers(load: Load, sent: Sent) -> None:
    """Raises RunBroken unless every request was answered 200."""
    if sent.failure or sent.refused:
        raise RunBroken(f"{load.name}: {sent.failure or f'answers other than 200: {sent.refused}'}")


def arrival_times(
    load: Load, sent: Sent, arrivals: Sequence[Arrival], before: Stored, after: Stored, copies: int = 1
) -> list[int]:
    """When each event arrived, in the order of sending. Raises RunBroken unless all came once and are recorded once.

    Each comes in `copies`, one to each endpoint, and has arrived with the last of them. `before` and `after` are what
    the store held; in between it must have grown by this load and nothing else.
    """
    check_answers(load, sent)
    at_ns = {arrival.email_id: arrival.at_ns for arrival in sorted(arrivals)}
    expected = email_ids(load.name, load.events)
    deliveries = load.events * copies
    distinct = len({(arrival.webhook_id, arrival.target) for arrival in arrivals})
    if not len(arrivals) == distinct == deliveries or at_ns.keys() != set(expected):
        raise RunBroken(
            f"{load.name}: {load.events} events sent, {len(arrivals)} POSTs of {deliveries} arrived with {distinct}"
            f" webhook-ids"
            f" and {len(at_ns.keys() & set(expected))} of the expected message ids"
        )
    grown = Stored(*(new - old for new, old in zip(after, before, strict=True)))
    if grown != Stored(events=load.events, delivered=deliveries, unfinished=0, attempts=deliveries):
        raise RunBroken(f"{load.name}: {load.events} events sent, but the store grew by {grown}")
    return [at_ns[email_id] for email_id in expected]
