"""What happens from the start of the demo on: mails at a pace, with lives in fast motion, and every incident once."""

import heapq
import time
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import NamedTuple

from adapters.request import NativeRequest
from app.cli.client import Client
from app.cli.demo.accounts import Account
from app.cli.demo.day import choose_sender
from app.cli.demo.lives import (
    ACCEPTED,
    CLICK,
    COMPLAINT,
    DELIVERED,
    HARD_BOUNCE,
    MACHINE_OPEN,
    OPEN,
    SOFT_BOUNCE,
    UNSUBSCRIBE,
    life,
)
from app.cli.demo.world import recipient, unique

FAST_MOTION, STEP_S_MAX = 200.0, 60.0
"""Two hours of a mail's life pass in 36 seconds, and no step is longer away than a minute."""
INCIDENTS_EVERY_S = 20.0
"""After the first round of them, one now and then."""
FIRST_ROUND_EVERY_S = 0.3


class Mail(NamedTuple):
    """One mail on its way."""

    source: str
    recipient: str
    message: str


class Incident(NamedTuple):
    """Something worth seeing: what it is called, what was done, and what it did to which message."""

    state: str
    says: str
    happen: Callable[[], Mail]


class Traffic:
    """Plays the providers against the gateway. `tell` hears of every incident; `answers` counts what was answered."""

    def __init__(
        self,
        client: Client,
        accounts: Mapping[str, Account],
        dice: Random,
        per_second: float,
        tell: Callable[[str], None],
    ) -> None:
        self.staged: dict[str, Mail] = {}
        """The mail with which each incident was shown last."""
        self.answers: dict[int, int] = {}
        self._client = client
        self._accounts = accounts
        self._dice = dice
        self._wait_s = 1 / per_second
        self._tell = tell
        self._coming: list[tuple[float, str, Mail]] = []
        self._incidents = self._told_in_turn()

    def play(self, until: Callable[[], bool]) -> None:
        """Goes on until then; every incident has been shown by the time that `has_shown_all` is true."""
        next_incident = next_mail = 0.0
        while not until():
            now = time.monotonic()
            if now >= next_mail:
                self._send()
                next_mail = now + self._wait_s * self._dice.uniform(0.5, 1.5)
            if now >= next_incident:
                self._stage(next(self._incidents))
                next_incident = now + (INCIDENTS_EVERY_S if self.has_shown_all else FIRST_ROUND_EVERY_S)
            self._go_on(now)
            time.sleep(0.02)

    @property
    def has_shown_all(self) -> bool:
        """Whether every incident was there once."""
        return len(self.staged) == len(self._every_incident())

    def _mail(self, source: str | None = None) -> Mail:
        chosen = source or choose_sender(self._dice).source
        return Mail(chosen, recipient(self._dice), unique(self._dice))

    def _send(self) -> None:
        """A new mail: what becomes of it is to come."""
        mail, now = self._mail(), time.monotonic()
        for step in life(self._dice):
            if self._accounts[mail.source].plays(step.kind):
                heapq.heappush(self._coming, (now + min(step.after_s / FAST_MOTION, STEP_S_MAX), step.kind, mail))

    def _go_on(self, now: float) -> None:
        while self._coming and self._coming[0][0] <= now:
            _, kind, mail = heapq.heappop(self._coming)
            self._post(mail, self._request(mail, kind))

    def _request(self, mail: Mail, kind: str, *, ago_s: float = 0.0) -> NativeRequest:
        return self._accounts[mail.source].request(
            kind,
            at=time.time() - ago_s,
            recipient=mail.recipient,
            message=mail.message,
            unique=lambda: unique(self._dice),
        )

    def _post(self, mail: Mail, request: NativeRequest) -> int:
        status = self._client.send(self._accounts[mail.source].path, request.headers, request.body).status_code
        self.answers[status] = self.answers.get(status, 0) + 1
        return status

    # What is worth seeing.

    def _stage(self, incident: Incident) -> None:
        self.staged[incident.state] = mail = incident.happen()
        self._tell(f"{incident.says} ({mail.source}, {mail.recipient})")

    def _told_in_turn(self) -> Iterator[Incident]:
        """All of them in their order, and then any for ever."""
        yield from self._every_incident()
        while True:
            yield self._dice.choice(self._every_incident())

    def _every_incident(self) -> list[Incident]:
        return [
            Incident("duplicate", "A provider repeats itself: answered 200, and no second event", self._repeat),
            Incident("out_of_order", "A click is told before the delivery that came first", self._cross),
            Incident(
                "machine_open", "A privacy proxy opens a mail: marked as made by a machine", self._open_by_machine
            ),
            Incident(
                "hard_bounce", "A hard bounce: the address should be suppressed", lambda: self._bounce(HARD_BOUNCE)
            ),
            Incident("soft_bounce", "A soft bounce: a full mailbox", lambda: self._bounce(SOFT_BOUNCE)),
            Incident("complaint", "A recipient complains of spam", self._complain),
            Incident("unsubscribe", "A recipient leaves the list", self._unsubscribe),
            Incident("rejected_signature", "A forged request: answered 401, kept as rejected, no event", self._forge),
            Incident("unmapped_type", "A type that no mapping knows: answered 200, quarantined", self._invent),
        ]

    def _repeat(self) -> Mail:
        mail = self._mail("newsletter")
        request = self._request(mail, DELIVERED)
        self._post(mail, request)
        self._post(mail, request)
        return mail

    def _cross(self) -> Mail:
        mail = self._mail("shop")
        self._post(mail, self._request(mail, CLICK))
        self._post(mail, self._request(mail, DELIVERED, ago_s=8))
        return mail

    def _open_by_machine(self) -> Mail:
        return self._tell_of(self._mail("newsletter"), ACCEPTED, DELIVERED, MACHINE_OPEN)

    def _bounce(self, kind: str) -> Mail:
        return self._tell_of(self._mail("shop"), ACCEPTED, kind)

    def _complain(self) -> Mail:
        return self._tell_of(self._mail("newsletter"), ACCEPTED, DELIVERED, OPEN, COMPLAINT)

    def _unsubscribe(self) -> Mail:
        return self._tell_of(self._mail("newsletter"), ACCEPTED, DELIVERED, OPEN, UNSUBSCRIBE)

    def _forge(self) -> Mail:
        mail = self._mail("newsletter")
        forged = self._accounts[mail.source].forged(
            DELIVERED,
            at=time.time(),
            recipient=mail.recipient,
            message=mail.message,
            unique=lambda: unique(self._dice),
        )
        self._post(mail, forged)
        return mail

    def _invent(self) -> Mail:
        mail = self._mail("shop")
        request = self._request(mail, ACCEPTED)
        self._post(mail, self._accounts[mail.source].unmapped(request, time.time()))
        return mail

    def _tell_of(self, mail: Mail, *kinds: str) -> Mail:
        """The steps of one mail, a second apart."""
        for at, kind in enumerate(kinds):
            self._post(mail, self._request(mail, kind, ago_s=len(kinds) - at))
        return mail
