import pytest

from app.web.pages.failures import why_attempt_ended
from app.web.pages.standings import Debt, Standing, endpoint_name, why_delivery_stands, why_endpoint_stands


@pytest.mark.parametrize(
    ("status", "kind", "error", "what", "remedy"),
    [
        (200, None, None, "took it", ""),
        (301, None, None, "redirects", "Register the URL"),
        (401, None, None, "did not accept the signature", "current secret"),
        (403, None, None, "forbids", "firewall"),
        (404, None, None, "nothing at the endpoint's URL", "path"),
        (410, None, None, "gone for good", "enable the endpoint"),
        (418, None, None, "refused the request", "Look at its answer"),
        (429, None, None, "more than it can take", "Nothing needs to be done"),
        (500, None, None, "receiver failed", "its own log"),
        (502, None, None, "proxy", "Start the receiver"),
        (507, None, None, "receiver failed", "its own log"),
        (None, "tls", "certificate verify failed: certificate has expired", "has expired", "Renew"),
        (None, "tls", "certificate verify failed: self-signed certificate", "signed by nobody else", "authority"),
        (None, "tls", "certificate verify failed: unable to get local issuer certificate", "intermediate", "chain"),
        (
            None,
            "tls",
            "certificate verify failed: Hostname mismatch, certificate is",
            "another name",
            "name in the URL",
        ),
        (None, "tls", "the TLS handshake with a:443 failed: wrong version number", "does not speak TLS", "port"),
        (None, "tls", "the TLS handshake with a:443 failed: unknown", "No encrypted connection", "TLS 1.2"),
        (None, "dns", "the name a.example does not resolve", "does not resolve", "DNS"),
        (None, "refused_address", "plain http goes only to networks", "Plain http", "Use https"),
        (None, "refused_address", "10.0.0.1 is a private address", "private address", "MAILWEIR_ALLOW_NETWORKS"),
        (None, "timeout", "no answer within 15 s", "did not answer in time", "work afterwards"),
        (None, "timeout", "no connection to a:443 within 15 s", "Nothing answers", "firewall"),
        (None, "timeout", "no TLS handshake with a:443 within 15 s", "TLS handshake", "overloaded"),
        (None, "connect", "connection refused by a:443", "nothing listens", "Start the receiver"),
        (None, "connect", "a:443 closed the connection without an answer", "closed the connection", "its log"),
        (None, "connect", "the connection broke: a:443: reset", "broke", "restarted"),
        (None, "connect", "no connection: a:443: no route", "cannot be reached", "route"),
        (None, "too_large", "the head has too many bytes", "head of the answer", "fewer"),
        (None, "protocol", "the answer is not valid HTTP: x", "not HTTP", "port"),
        (None, "protocol", "a fault of the gateway itself, KeyError; its log says more", "fault of the gateway", "log"),
        (None, None, "something else", "Something else.", ""),
        (None, None, None, "There was no answer.", ""),
        (999, None, None, "answered 999", ""),
    ],
)
def test_a_failure_is_told_with_what_mends_it(
    status: int | None, kind: str | None, error: str | None, what: str, remedy: str
) -> None:
    explained = why_attempt_ended(status, kind, error)
    assert what in explained.what
    assert remedy in explained.remedy
    assert bool(explained.remedy) == bool(remedy)


@pytest.mark.parametrize(
    ("debt", "what"),
    [
        (Debt("pending", 0), "waits for its first attempt"),
        (Debt("pending", 1), "1 attempt failed"),
        (Debt("pending", 3), "3 attempts failed"),
        (Debt("queued", 0), "for the same recipient"),
        (Debt("sending", 0), "being sent"),
        (Debt("delivered", 1), "took it."),
        (Debt("delivered", 2), "after 2 attempts"),
        (Debt("failed", 11), "Given up after 11 attempts"),
        (Debt("held", 0, "the transform failed: x"), "the transform failed: x"),
        (Debt("cancelled", 0, "the endpoint was deleted"), "the endpoint was deleted"),
    ],
)
def test_a_delivery_says_how_it_stands(debt: Debt, what: str) -> None:
    assert what in why_delivery_stands(debt).what


@pytest.mark.parametrize(
    ("standing", "what"),
    [
        (Standing("healthy", 0, None, 0, 0, False), "as soon as it comes"),
        (Standing("healthy", 0, None, 0, 5, True), "asked for a pause"),
        (Standing("failing", 7, None, 0, 12, True), "last 7 attempts failed. It is probed by one delivery at a time"),
        (Standing("paused", 0, "paused", 1, 0, False), "1 delivery is held"),
        (Standing("disabled", 50, "it answered 410 Gone", 3, 0, False), "It answered 410 Gone. 3 deliveries are held"),
    ],
)
def test_an_endpoint_says_how_it_stands(standing: Standing, what: str) -> None:
    assert what in why_endpoint_stands(standing).what


def test_an_endpoint_is_called_by_its_description_or_its_url() -> None:
    assert endpoint_name(1, "https://example.com/hook", "CRM") == "CRM"
    assert endpoint_name(1, "https://example.com/hook", "") == "example.com/hook"
