"""What an attempt came to, in words: what happened, and what mends it. Pure."""

import re
from collections.abc import Sequence
from typing import NamedTuple


class Explained(NamedTuple):
    """Two sentences for the person who has to do something; `remedy` is empty where there is nothing to do."""

    what: str
    remedy: str = ""


_OF_STATUS: dict[int, Explained] = {
    400: Explained(
        "The endpoint did not understand the body.", "Look at its answer; mend the transform or the receiver."
    ),
    401: Explained(
        "The endpoint did not accept the signature or the credentials.",
        "Check that it verifies with this endpoint's current secret, over the raw body, and takes its extra headers.",
    ),
    403: Explained(
        "The endpoint forbids the request.",
        "A firewall or bot protection may stand before it: let the gateway through, or add the header it wants.",
    ),
    404: Explained("There is nothing at the endpoint's URL.", "Correct the URL's path, or deploy the route there."),
    405: Explained("The URL does not take POST requests.", "Correct the URL, or let its route take POST."),
    408: Explained("The endpoint gave up waiting for the request.", "Look whether its server or proxy is overloaded."),
    410: Explained(
        "The endpoint answered that it has gone for good, so it was disabled.",
        "If that was a mistake, mend the receiver and enable the endpoint.",
    ),
    413: Explained("The body is larger than the endpoint takes.", "Raise its limit, or send less by a transform."),
    415: Explained("The endpoint does not take JSON.", "Let it take the content type application/json."),
    422: Explained("The endpoint found the body wrong.", "Look at its answer; mend the transform or the receiver."),
    429: Explained(
        "The endpoint gets more than it can take.",
        "Nothing needs to be done: it gets the pause it asks for. A rate limit here spares it the refusals.",
    ),
    500: Explained(
        "The receiver failed while it handled the event.", "Look into its own log at the time of the attempt."
    ),
    502: Explained("A proxy stands at the URL, and the receiver behind it is not there.", "Start the receiver."),
    503: Explained("The receiver says that it is not available.", "Look whether it is being deployed, or overloaded."),
    504: Explained(
        "A proxy stands at the URL, and the receiver behind it did not answer in time.",
        "Let it answer first and work afterwards.",
    ),
}
_OF_CLASS: dict[int, Explained] = {
    1: Explained("The endpoint never came to a final answer.", "Look into the receiver or the proxy before it."),
    2: Explained("The endpoint took it."),
    3: Explained(
        "The endpoint redirects; redirects are not followed, because they could lead anywhere.",
        "Register the URL that the location header of the answer names.",
    ),
    4: Explained("The endpoint refused the request.", "Look at its answer; mend the receiver or what is sent to it."),
    5: Explained("The receiver failed.", "Look into its own log at the time of the attempt."),
}

_OF_ERROR: Sequence[tuple[str, str, Explained]] = (
    #  kind, pattern in the error's sentence, explanation: the first that fits counts
    ("tls", "has expired", Explained("The endpoint's certificate has expired.", "Renew it on the endpoint's server.")),
    (
        "tls",
        "not yet valid",
        Explained(
            "The endpoint's certificate is not valid yet.",
            "Check the clock of both servers, and the certificate's dates.",
        ),
    ),
    (
        "tls",
        "self.signed",
        Explained(
            "The endpoint's certificate is signed by nobody else.",
            "Install one of a public authority; add an authority of your own to those of the system here.",
        ),
    ),
    (
        "tls",
        "local issuer",
        Explained(
            "Nobody known has signed the endpoint's certificate; most often the intermediate certificate is missing.",
            "Install the whole chain on its server; add an authority of your own to those of the system here.",
        ),
    ),
    (
        "tls",
        "mismatch",
        Explained(
            "The endpoint's certificate is for another name.",
            "Install one for the name in the URL, or correct the URL.",
        ),
    ),
    (
        "tls",
        "wrong version number",
        Explained(
            "The endpoint does not speak TLS at this port.", "Correct the port of the URL, or serve https there."
        ),
    ),
    (
        "tls",
        "",
        Explained("No encrypted connection came about.", "Check the endpoint's TLS settings: TLS 1.2 or newer."),
    ),
    (
        "dns",
        "",
        Explained("The name in the URL does not resolve.", "Correct the host of the URL, or its record in the DNS."),
    ),
    (
        "refused_address",
        "plain http",
        Explained(
            "Plain http leaves the gateway only for networks that the operator allows.",
            "Use https, or name the network in MAILWEIR_ALLOW_NETWORKS.",
        ),
    ),
    (
        "refused_address",
        "",
        Explained(
            "The URL leads to a private address, where nothing is sent unless the operator allows it.",
            "Correct the URL or the DNS; for a network of your own set MAILWEIR_ALLOW_NETWORKS.",
        ),
    ),
    (
        "timeout",
        "^no answer",
        Explained(
            "The endpoint took the request and did not answer in time.",
            "Let it answer 2xx first and work afterwards, or give it a longer timeout.",
        ),
    ),
    (
        "timeout",
        "TLS",
        Explained(
            "The endpoint's server is there, and did not finish the TLS handshake in time.",
            "Look whether it is overloaded, or a firewall interferes.",
        ),
    ),
    (
        "timeout",
        "",
        Explained(
            "Nothing answers at the endpoint's address.",
            "Look whether its server runs, and whether a firewall drops what comes from the gateway.",
        ),
    ),
    (
        "connect",
        "refused",
        Explained(
            "The endpoint's machine is there, and nothing listens at the port.",
            "Start the receiver, or correct the port.",
        ),
    ),
    (
        "connect",
        "closed the connection",
        Explained(
            "The endpoint closed the connection without an answer.",
            "Look into its log: it may have crashed, or its proxy may have turned the request away.",
        ),
    ),
    (
        "connect",
        "broke",
        Explained(
            "The connection broke before the answer was there.", "Look whether the receiver crashed or was restarted."
        ),
    ),
    (
        "connect",
        "",
        Explained("The endpoint's address cannot be reached.", "Look whether its server runs, and at the route to it."),
    ),
    (
        "too_large",
        "",
        Explained(
            "The head of the answer is larger than any sensible one.", "Let the receiver answer with fewer headers."
        ),
    ),
    (
        "protocol",
        "fault of the gateway",
        Explained("A fault of the gateway itself ended the attempt.", "The gateway's log says more; please report it."),
    ),
    (
        "protocol",
        "could not be sent",
        Explained("The request cannot be written as HTTP.", "Look at the endpoint's extra headers and its URL."),
    ),
    (
        "protocol",
        "",
        Explained("What came back is not HTTP.", "Correct the port of the URL: something else listens there."),
    ),
)


def why_attempt_ended(status_code: int | None, error_kind: str | None, error: str | None) -> Explained:
    """What an attempt came to, of what is stored of it."""
    if status_code is not None:
        of_class = _OF_CLASS.get(status_code // 100)
        return _OF_STATUS.get(status_code) or of_class or Explained(f"The endpoint answered {status_code}.")
    for kind, pattern, explained in _OF_ERROR:
        if kind == error_kind and re.search(pattern, error or ""):
            return explained
    return Explained(sentence(error or "There was no answer"))


def sentence(text: str) -> str:
    """The text with a capital letter and a full stop."""
    return text[:1].upper() + text[1:].rstrip(".") + "."
