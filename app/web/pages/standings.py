"""How a delivery and an endpoint stand, in words: what it means, and what mends it. Pure."""

from typing import NamedTuple

from app.retry import DISABLE_FAILURES
from app.web.pages.failures import Explained, sentence


class Debt(NamedTuple):
    """A delivery as far as words need it."""

    status: str
    attempts: int
    error: str | None = None
    """Of the last attempt, or why there is none."""


def why_delivery_stands(debt: Debt) -> Explained:
    """What a delivery waits for, or what it came to; `remedy` is the name of the one action that mends it."""
    times = "1 attempt" if debt.attempts == 1 else f"{debt.attempts} attempts"
    match debt.status:
        case "pending" if debt.attempts == 0:
            return Explained("It waits for its first attempt.")
        case "pending":
            return Explained(f"{times} failed; another will be made.", "Retry now")
        case "queued":
            return Explained("It waits until what came before it for the same recipient is finished.")
        case "sending":
            return Explained("It is being sent just now.")
        case "delivered":
            return Explained(f"The endpoint took it, after {times}." if debt.attempts != 1 else "The endpoint took it.")
        case "failed":
            return Explained(f"Given up after {times}. It stays here and can be sent again.", "Retry now")
        case "held":
            return Explained(f"It is kept, and not sent: {debt.error or 'the endpoint is not active'}.", "Release")
        case "cancelled":
            reason = f": {debt.error}" if debt.error else ""
            return Explained(f"It will not be sent{reason}.", "Replay the event")
        case _:
            return Explained(f"It is {debt.status}.")


class Standing(NamedTuple):
    """An endpoint as far as words need it."""

    state: str
    failures: int
    disabled_reason: str | None
    held: int
    pending: int
    waits: bool
    """Whether it asked not to be sent to for a while."""


def why_endpoint_stands(standing: Standing) -> Explained:
    """How an endpoint fares, and what its state means for its events."""
    held = _deliveries(standing.held)
    match standing.state:
        case "healthy" if standing.waits:
            return Explained("It asked for a pause, and is sent to again after it.")
        case "healthy":
            return Explained("It takes what it is sent; every event goes to it as soon as it comes.")
        case "failing":
            what = (
                f"Its last {standing.failures} attempts failed. It is probed by one delivery at a time while "
                f"{_deliveries(standing.pending)} {'waits' if standing.pending == 1 else 'wait'}; nothing is lost."
            )
            remedy = f"It recovers with the first success, and is disabled after {DISABLE_FAILURES} failures in a row."
            return Explained(what, remedy)
        case "paused":
            return Explained(f"A person paused it. {_upper(held)} {_are(standing.held)} held for it.")
        case _:
            reason = sentence(standing.disabled_reason or "the gateway disabled it")
            return Explained(f"Disabled. {reason} {_upper(held)} {_are(standing.held)} held for it, and not lost.")


def _deliveries(number: int) -> str:
    return "no delivery" if number == 0 else "1 delivery" if number == 1 else f"{number} deliveries"


def _are(number: int) -> str:
    return "is" if number < 2 else "are"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def endpoint_name(endpoint_id: int, url: str, description: str) -> str:
    """What pages call an endpoint: its description or, without one, its URL without the scheme."""
    return description or url.partition("://")[2] or f"Endpoint {endpoint_id}"
