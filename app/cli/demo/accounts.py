"""Simulated provider accounts: they build native requests from the mappings' own samples and sign them."""

from collections.abc import Callable, Mapping, Sequence

from adapters.adapter import Adapter
from adapters.catalog import Catalog
from adapters.request import NativeRequest
from app.cli.demo.lives import (
    ACCEPTED,
    BLOCK,
    CLICK,
    COMPLAINT,
    DEFERRED,
    DELIVERED,
    DROPPED,
    HARD_BOUNCE,
    MACHINE_OPEN,
    OPEN,
    SOFT_BOUNCE,
    UNSUBSCRIBE,
)
from app.cli.demo.world import Sender

_SAMPLES: Mapping[str, Mapping[str, str]] = {
    "resend": {
        ACCEPTED: "email.sent",
        DELIVERED: "email.delivered",
        DEFERRED: "email.delivery_delayed",
        HARD_BOUNCE: "email.bounced",
        SOFT_BOUNCE: "email.bounced/full",
        DROPPED: "email.suppressed",
        OPEN: "email.opened",
        CLICK: "email.clicked",
        COMPLAINT: "email.complained",
    },
    "sendgrid": {
        ACCEPTED: "processed",
        DELIVERED: "delivered",
        DEFERRED: "deferred",
        HARD_BOUNCE: "bounce",
        BLOCK: "bounce/blocked",
        DROPPED: "dropped",
        OPEN: "open",
        MACHINE_OPEN: "open/machine",
        CLICK: "click",
        COMPLAINT: "spamreport",
        UNSUBSCRIBE: "group_unsubscribe",
    },
    "mailgun": {
        ACCEPTED: "accepted",
        DELIVERED: "delivered",
        DEFERRED: "failed/temporary",
        HARD_BOUNCE: "failed/permanent",
        DROPPED: "failed/suppressed",
        OPEN: "opened",
        MACHINE_OPEN: "opened/machine",
        CLICK: "clicked",
        COMPLAINT: "complained",
        UNSUBSCRIBE: "unsubscribed",
    },
    "postmark": {
        DELIVERED: "Delivery",
        DEFERRED: "Bounce/Transient",
        HARD_BOUNCE: "Bounce/HardBounce",
        SOFT_BOUNCE: "Bounce/SoftBounce",
        OPEN: "Open",
        CLICK: "Click",
        COMPLAINT: "SpamComplaint",
        UNSUBSCRIBE: "SubscriptionChange/suppressed",
    },
}
"""Which sample a provider plays for a step of a life; what is not here it does not tell."""
_UNMAPPED = (b'"email.sent"', b'"email.recalled"')


class Account:
    """One provider account with generated keys, which posts to `url`."""

    def __init__(self, sender: Sender, adapter: Adapter, base_url: str) -> None:
        self.source = sender.source
        self.provider = sender.provider
        self.adapter = adapter
        self.path = f"/api/webhooks/{sender.source}"
        self.url = base_url + self.path
        self.secrets, self._signing = adapter.generate_secrets()
        self._other_signing = adapter.generate_secrets()[1]

    def plays(self, kind: str) -> bool:
        """Whether the provider tells of such a step."""
        return kind in _SAMPLES[self.provider]

    def request(
        self, kind: str, *, at: float, recipient: str, message: str, unique: Callable[[], str]
    ) -> NativeRequest:
        """The signed request that tells of the step, which happened `at` (seconds since 1970)."""
        return self._request(self._signing, kind, at=at, recipient=recipient, message=message, unique=unique)

    def forged(self, kind: str, *, at: float, recipient: str, message: str, unique: Callable[[], str]) -> NativeRequest:
        """The same, signed by somebody who does not have the account's keys."""
        return self._request(self._other_signing, kind, at=at, recipient=recipient, message=message, unique=unique)

    def unmapped(self, request: NativeRequest, at: float) -> NativeRequest:
        """The request as if the provider had thought of a new type since the mapping was written."""
        renamed = NativeRequest(url=request.url, headers=request.headers, body=request.body.replace(*_UNMAPPED))
        return self.adapter.verification.sign(renamed, self.adapter.decode(renamed), self._signing, at)

    def _request(
        self,
        signing: Mapping[str, str],
        kind: str,
        *,
        at: float,
        recipient: str,
        message: str,
        unique: Callable[[], str],
    ) -> NativeRequest:
        return self.adapter.sample_request(
            [_SAMPLES[self.provider][kind]],
            signing=signing,
            url=self.url,
            at=at,
            recipient=recipient,
            unique=unique,
            message=message,
        )


def open_accounts(senders: Sequence[Sender], catalog: Catalog, base_url: str) -> dict[str, Account]:
    """An account for each, by the name of its source."""
    return {sender.source: Account(sender, catalog.get(sender.provider), base_url) for sender in senders}
