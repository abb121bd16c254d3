"""`mailweir forget`, against a running gateway."""

from tests.cli.terminal import Shell


def test_a_recipient_is_forgotten(gateway: Shell) -> None:
    assert gateway.mailweir("sources", "add", "prod", "sendgrid", "--simulated").code == 0
    for address in ("ann@example.com", "bob@example.com"):
        sent = gateway.mailweir("trigger", "sendgrid", "bounce,click", "--source", "prod", "--recipient", address)
        assert sent.code == 0
    counts = {"receipts": 1, "events": 2, "deliveries": 0, "attempts": 0, "drift": 0, "jobs": 0}
    assert gateway.mailweir("forget", "ANN@example.com", "--dry-run").row == {**counts, "dry_run": True}
    assert gateway.mailweir("forget", "ANN@example.com").row == {**counts, "dry_run": False}
    recipients = [event["recipient"] for event in gateway.mailweir("events", "list").rows]
    assert recipients == ["bob@example.com", "bob@example.com", "(forgotten)", "(forgotten)"]


def test_what_is_no_address_is_refused(gateway: Shell) -> None:
    ran = gateway.mailweir("forget", "ann")
    assert ran.code == 1
    assert "address" in ran.err
