"""What is there to see at the end: counts, and whether every state that the demo promises is really present."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from app.cli.client import Client
from app.cli.demo.subscribers import Shown
from app.cli.demo.traffic import Mail
from app.cli.demo.world import SILENT, SILENT_FOR_S
from app.store.tally import Tally

HOURS_WITH_MAIL_MIN = 20


class Findings(msgspec.Struct, frozen=True):
    """The summary of a demo."""

    events: dict[str, int]
    """By type."""
    deliveries: dict[str, int]
    """By status."""
    receipts: dict[str, int]
    """By status."""
    states: dict[str, bool]
    """By what was promised, whether it is there."""
    subscribers: dict[str, Shown]

    @property
    def missing(self) -> list[str]:
        """What was promised and is not there."""
        return [state for state, present in self.states.items() if not present]


class Witness:
    """Asks the gateway, by its API, for what the demo promises."""

    def __init__(
        self, client: Client, tally: Tally, staged: Mapping[str, Mail], subscribers: Mapping[str, Shown]
    ) -> None:
        self._client = client
        self._tally = tally
        self._staged = staged
        self._subscribers = subscribers
        self._stats = client.get("/api/stats", {"bucket": "1h"})
        self._endpoints = client.get("/api/webhooks/manage")["webhooks"]

    def findings(self) -> Findings:
        """Everything."""
        tally = self._tally
        states = {state: bool(is_there()) for state, is_there in self._promised().items()}
        return Findings(tally.events, tally.deliveries, tally.receipts, states, dict(self._subscribers))

    def _promised(self) -> Mapping[str, Callable[[], Any]]:
        tally, bounces = self._tally, self._stats["inbound"]["bounces"]
        return {
            "a_day_of_history": self._has_a_day,
            "duplicate": lambda: tally.receipts.get("duplicate") and self._types_of("duplicate") == ["email.delivered"],
            "out_of_order": self._is_out_of_order,
            "machine_open": self._has_machine_open,
            "hard_bounce": lambda: bounces.get("hard"),
            "soft_bounce": lambda: bounces.get("soft"),
            "complaint": lambda: "email.complaint" in self._types_of("complaint"),
            "unsubscribe": lambda: tally.events.get("email.unsubscribe"),
            "rejected_signature": lambda: tally.receipts.get("rejected") and not self._types_of("rejected_signature"),
            "unmapped_type": lambda: tally.receipts.get("quarantined"),
            "silent_source": self._is_silent,
            "failing_endpoint": lambda: self._endpoints_that_are("failing"),
            "failing_endpoint_told": lambda: tally.events.get("endpoint.failing"),
            "recoverable_deliveries": lambda: tally.deliveries.get("failed"),
            "waiting_deliveries": lambda: tally.deliveries.get("pending"),
            "paused_endpoint_with_held_deliveries": lambda: (
                self._endpoints_that_are("paused") and tally.deliveries.get("held")
            ),
            "delivered_by_a_retry": lambda: tally.delivered_again,
            "alert": lambda: tally.events.get("alert.fired") and self._fires("complaint_rate"),
            "every_signature_authentic": self._is_authentic,
        }

    def _has_a_day(self) -> bool:
        hours = [bucket for bucket in self._stats["buckets"] if bucket["inbound"]["events"]]
        return len(hours) >= HOURS_WITH_MAIL_MIN

    def _events_of(self, state: str) -> list[Any]:
        """Of the mail with which it was shown, in the order in which they came."""
        if state not in self._staged:
            return []
        found = self._client.get("/api/events", {"recipient": self._staged[state].recipient})["data"]
        message = self._staged[state].message
        return sorted((line for line in found if message in (line["email_id"] or "")), key=lambda line: line["id"])

    def _types_of(self, state: str) -> list[str]:
        return [line["type"] for line in self._events_of(state)]

    def _is_out_of_order(self) -> bool:
        happened = [line["occurred_at"] for line in self._events_of("out_of_order")]
        return len(happened) > 1 and happened != sorted(happened)

    def _has_machine_open(self) -> bool:
        opened = [line["id"] for line in self._events_of("machine_open") if line["type"] == "email.open"]
        whole = (self._client.get(f"/api/events/{event_id}")["event"] for event_id in opened)
        return any(event["data"].get("client", {}).get("machine") for event in whole)

    def _is_silent(self) -> bool:
        path, now = f"/api/sources/{SILENT.source}/stats", datetime.now(UTC)
        lately = self._client.get(path, {"since": (now - timedelta(seconds=SILENT_FOR_S - 600)).isoformat()})
        before = self._client.get(path)
        return bool(before["inbound"]["events"]) and not lately["inbound"]["events"]

    def _fires(self, kind: str) -> bool:
        return any(alert["kind"] == kind and alert["firing"] for alert in self._client.get("/api/alerts")["data"])

    def _endpoints_that_are(self, state: str) -> list[Any]:
        return [endpoint for endpoint in self._endpoints if endpoint["state"] == state]

    def _is_authentic(self) -> bool:
        had = [shown.received for shown in self._subscribers.values()]
        return sum(one.webhooks for one in had) > 0 and all(one.webhooks == one.authentic for one in had)
