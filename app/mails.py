"""Mail to people, by the SMTP server of the settings: what the alerts tell, at least once.

A mail is a stored row until the server has taken it, so that it survives restarts; its Message-ID is that of the event,
so that a second copy is known as one.

The server is the operator's choice and not a stranger's, so that it may live in a private network or on the machine
itself. Everything else that the guard refuses, such as a cloud's metadata service, it refuses here as well, by the
address that the socket is opened to.
"""

import asyncio
import smtplib
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from errno import EACCES
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.notices import Notice
from app.bell import Bell
from app.clock import Clock
from app.guard import AddressRefused, Guard
from app.settings import Settings
from app.store import mails
from app.store.arrivals import NewEvent
from app.store.errors import driver_message
from app.store.ids import EVENT, public_id
from app.store.ledger import STORE_ERRORS
from app.store.mails import Mail, NewMail

log = structlog.get_logger()

LOOK_INTERVAL_S = 30.0
SMTP_TIMEOUT_S = 20.0
"""For each step of the conversation."""
WAIT_S_MIN, WAIT_S_MAX = 30.0, 3_600.0
OPERATORS_NETWORKS = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
"""Where mail servers live whose names the operator gives: loopback and the private networks."""
GIVEN_UP_AFTER = timedelta(hours=24)


class Postbox:
    """Writes mails and sends what is due; does nothing where the settings name no server."""

    def __init__(self, engine: AsyncEngine, clock: Clock, settings: Settings) -> None:
        self.bell = Bell()
        """Rings when there may be a mail to send."""
        self._engine = engine
        self._clock = clock
        self._server = settings.smtp_url
        self._guard = Guard([*OPERATORS_NETWORKS, *settings.allow_networks])
        self._from = settings.alert_mail_from
        self._to = settings.alert_mail_to
        self._sending: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to send."""
        if self._server:
            self._sending = asyncio.create_task(self._send_forever(), name="mails")

    async def close(self) -> None:
        """Ends at once; what was not taken is sent after the next start."""
        if self._sending is not None:
            self._sending.cancel()
            with suppress(asyncio.CancelledError):
                await self._sending

    def letter(self, event: NewEvent, notice: Notice, mail_to: Sequence[str] | None) -> NewMail | None:
        """The mail that tells the event: to those of the rule, else to those of the settings; None: to nobody."""
        recipients = self._to if mail_to is None else mail_to
        if not self._server or not recipients:
            return None
        number = public_id(EVENT, event.id)
        name = notice.alert.name if notice.alert else ""
        return NewMail(
            message_id=f"<{number}@mailweir>",
            recipients=list(recipients),
            subject=f"[Mailweir] {name}: {event.type.partition('.')[2]}",
            body="\n".join(_lines(notice, number)),
        )

    async def _send_forever(self) -> None:
        while True:
            try:
                for mail in await mails.take_due(self._engine, self._clock.now()):
                    await self._send(mail)
            except STORE_ERRORS as error:
                log.warning("mails.store_unavailable", error=driver_message(error))
            except Exception:
                log.exception("mails.crashed")
            await self.bell.wait(LOOK_INTERVAL_S)

    async def _send(self, mail: Mail) -> None:
        try:
            await asyncio.to_thread(_deliver, self._server, self._guard, self._message(mail), mail.recipients)
        except (OSError, smtplib.SMTPException, UnicodeError) as error:  # smtplib takes ASCII alone in some places
            await self._failed(mail, error)
        else:
            await mails.remove(self._engine, mail)

    async def _failed(self, mail: Mail, error: Exception) -> None:
        """Tries again later, for a day; what the server refuses for good is not tried again."""
        now = self._clock.now()
        if _is_final(error) or now - mail.created_at > GIVEN_UP_AFTER:
            log.error("mail.given_up", message_id=mail.message_id, attempts=mail.attempts + 1, error=str(error))
            await mails.remove(self._engine, mail)
            return
        wait_s = min(WAIT_S_MAX, WAIT_S_MIN * 2**mail.attempts)
        log.warning("mail.failed", message_id=mail.message_id, error=str(error), next_attempt_in_s=wait_s)
        await mails.put_off(self._engine, mail, now + timedelta(seconds=wait_s))

    def _message(self, mail: Mail) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = " ".join(mail.subject.split())
        message["From"] = self._from
        message["To"] = ", ".join(mail.recipients)
        message["Date"] = format_datetime(mail.created_at)
        message["Message-ID"] = mail.message_id
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers to this
        message.set_content(mail.body)
        return message


def _lines(notice: Notice, number: str) -> list[str]:
    lines = [notice.summary, "", f"Since:  {notice.since}"]
    if notice.source:
        lines.append(f"Source: {notice.source.name} ({notice.source.provider})")
    if notice.endpoint:
        lines.append(f"Endpoint: {notice.endpoint.id}, {notice.endpoint.url} {notice.endpoint.description}".rstrip())
    if notice.alert:
        lines.append(f"Rule:   {notice.alert.name} ({notice.alert.kind}), /api/alerts/{notice.alert.id}")
    return [*lines, f"Event:  {number}", ""]


class _Guarded(smtplib.SMTP):
    """Talks to addresses that the guard allows; TLS is verified against the name all the same."""

    def __init__(self, host: str, port: int, guard: Guard) -> None:
        self._guard = guard
        super().__init__(host, port, timeout=SMTP_TIMEOUT_S)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002 - the signature is smtplib's
        return _opened(self._guard, host, port)


class _GuardedTls(smtplib.SMTP_SSL):
    """The same, with TLS from the first byte on."""

    def __init__(self, host: str, port: int, guard: Guard, context: ssl.SSLContext) -> None:
        self._guard = guard
        super().__init__(host, port, timeout=SMTP_TIMEOUT_S, context=context)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002 - the signature is smtplib's
        return self.context.wrap_socket(_opened(self._guard, host, port), server_hostname=host)


def _opened(guard: Guard, host: str, port: int) -> socket.socket:
    """A connection to one of the host's addresses, all of which the guard must allow. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    try:
        for address in addresses:
            guard.check_ip(address)
    except AddressRefused as refused:
        raise PermissionError(EACCES, refused.reason) from refused
    return _connected(addresses, port)


def _connected(addresses: Sequence[str], port: int) -> socket.socket:
    for address in addresses[:-1]:
        with suppress(OSError):
            return socket.create_connection((address, port), SMTP_TIMEOUT_S)
    return socket.create_connection((addresses[-1], port), SMTP_TIMEOUT_S)


def _deliver(server: str, guard: Guard, message: EmailMessage, recipients: Sequence[str]) -> None:
    """One conversation with the server. Raises OSError or SMTPException."""
    url = urlsplit(server)
    host = url.hostname or ""
    context = ssl.create_default_context()
    if url.scheme == "smtps":
        smtp: smtplib.SMTP = _GuardedTls(host, url.port or 465, guard, context)
    else:
        smtp = _Guarded(host, url.port or 587, guard)
    with smtp:
        smtp.ehlo()
        if url.scheme == "smtp" and smtp.has_extn("starttls"):
            smtp.starttls(context=context)
            smtp.ehlo()
        elif url.scheme == "smtp" and url.username and not _is_loopback(host):
            raise smtplib.SMTPException("the server offers no STARTTLS, and the password is not sent in the clear")
        if url.username:
            smtp.login(unquote(url.username), unquote(url.password or ""))
        refused = smtp.send_message(message, to_addrs=list(recipients))
    if refused:
        log.error("mail.recipients_refused", message_id=message["Message-ID"], recipients=len(refused))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_final(error: Exception) -> bool:
    """Whether the server has said no for good: 5xx to the message or to each recipient. A password can be mended."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    return isinstance(error, smtplib.SMTPDataError | smtplib.SMTPSenderRefused) and error.smtp_code >= 500
